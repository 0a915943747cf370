"""The graph as data: what the packages declare, collected."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from pathlib import Path

import pytest

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.config_file import default_config
from nofx_pipelines.graph import STAGES, UNIVERSE_STAGES
from nofx_pipelines.lake.schemas import TABLES
from nofx_pipelines.market.stages import ingest_version


@pytest.fixture
def universe(tmp_path: Path) -> UniverseConfig:
    return default_config(tmp_path).universes["cn"]


def test_every_stage_reads_stages_that_come_before_it() -> None:
    seen: set[str] = set()
    for stage in UNIVERSE_STAGES:
        assert {each.stage.name for each in stage.reads} <= seen, stage.name
        seen.add(stage.name)


def test_every_stage_names_a_table_modules_and_settings_that_are_there() -> None:
    fields = {field.name for field in dataclasses.fields(UniverseConfig)}
    for stage in UNIVERSE_STAGES:
        assert stage.table in TABLES
        assert {name.split(".")[0] for name in stage.settings} <= fields
        assert all(find_spec(module) is not None for module in stage.modules)


def test_above_is_everything_that_a_stage_is_made_from() -> None:
    names = [stage.name for stage in STAGES["training_set"].above()]
    assert names == ["bars", "features", "labels"]
    assert STAGES["bars"].above() == ()


def test_what_follows_a_search_follows_its_refresh() -> None:
    follows = {stage.name for stage in UNIVERSE_STAGES if stage.follows_refresh}
    assert {"hpo_study", "candidate_model", "champion"} <= follows
    assert not follows & {"bars", "features", "labels", "training_set", "signals"}


def test_a_version_changes_with_the_settings_that_are_read_and_no_others(universe: UniverseConfig) -> None:
    longer = dataclasses.replace(universe, labels=dataclasses.replace(universe.labels, horizon=9))
    changed = {s.name for s in UNIVERSE_STAGES if s.version(universe) != s.version(longer)}
    assert changed == {s.name for s in UNIVERSE_STAGES if "labels" in s.settings}


def test_the_version_above_holds_all_stages_above(universe: UniverseConfig) -> None:
    wider = dataclasses.replace(universe, features=("ta",))
    study = STAGES["hpo_study"]
    assert study.version(universe) == study.version(wider)
    assert study.version_above(universe) != study.version_above(wider)


def test_ingestion_s_version_does_not_know_the_span(tmp_path: Path) -> None:
    feed = default_config(tmp_path).feeds["cn", "1d"]
    assert feed.end is not None
    shorter = dataclasses.replace(feed, end=feed.end.replace(year=feed.end.year - 1))
    assert ingest_version(feed) == ingest_version(shorter)
