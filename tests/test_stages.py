"""What a stage's code version and its place in the graph depend on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from nofx_pipelines import plugins
from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.stages import Extent, Reads, Stage, StageRun


def nothing(run: StageRun) -> None:
    return None


def by_day(extent: Extent) -> Mapping[date, str]:
    return {}


def stage(name: str, *reads: Stage, **more: object) -> Stage:
    return Stage(
        name=name,
        table="bars",
        modules=("nofx_pipelines.errors",),
        reads=tuple(Reads(each) for each in reads),
        compute=nothing,
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture
def universe(tmp_path: Path) -> UniverseConfig:
    folder = tmp_path / plugins.FOLDER
    folder.mkdir()
    (folder / "mine.py").write_text("from . import part\n\nGATE = part.X\n")
    (folder / "part.py").write_text("X = 1\n")
    return UniverseConfig(name="cn", market="cn", freq="1d", plugins=folder)


def test_a_member_s_sources_are_part_of_the_version_of_the_stages_that_run_it(
    universe: UniverseConfig,
) -> None:
    runs = stage("runs", members=lambda u: [("gates", "mine:GATE")])
    beside = stage("beside")
    assert universe.plugins is not None
    before = runs.version(universe), beside.version(universe)
    (universe.plugins / "part.py").write_text("X = 2\n")
    after = runs.version(universe), beside.version(universe)
    assert before[0] != after[0]
    assert before[1] == after[1]
    (universe.plugins / "part.py").write_text("X = 1\n")
    assert (runs.version(universe), beside.version(universe)) == before


def test_a_built_in_member_counts_with_its_module(
    universe: UniverseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nofx_pipelines.stages.code_version", lambda modules, settings: " ".join(modules))
    runs = stage("runs", members=lambda u: [("gates", "net_sharpe"), ("families", "lightgbm")])
    assert runs.version(universe).split() == [
        "nofx_pipelines.errors",
        "nofx_pipelines.promotion.gates.net_sharpe",
        "nofx_pipelines.models.families.gbdt",
    ]


def test_the_folder_s_place_is_no_part_of_a_version(universe: UniverseConfig, tmp_path: Path) -> None:
    runs = stage("runs", members=lambda u: [("gates", "mine:GATE")])
    moved = tmp_path / "elsewhere"
    assert universe.plugins is not None
    before = runs.version(universe)
    universe.plugins.rename(moved)
    assert runs.version(dataclasses.replace(universe, plugins=moved)) == before


def test_a_member_that_is_gone_is_refused_by_name(universe: UniverseConfig) -> None:
    runs = stage("runs", members=lambda u: [("gates", "gone:GATE")])
    with pytest.raises(ConfigError, match="gone:GATE"):
        runs.version(universe)


def test_a_setting_of_a_section_counts_and_its_neighbours_do_not(universe: UniverseConfig) -> None:
    reads = stage("reads", settings=("gates.seed",))
    other = dataclasses.replace(universe, gates=dataclasses.replace(universe.gates, fold_share=0.5))
    seeded = dataclasses.replace(universe, gates=dataclasses.replace(universe.gates, seed=8))
    assert reads.version(universe) == reads.version(other)
    assert reads.version(universe) != reads.version(seeded)


def test_what_a_stage_is_made_from_comes_in_order_and_once() -> None:
    bars = stage("bars", session_inputs=by_day)
    features, labels = stage("features", bars), stage("labels", bars)
    training = stage("training", features, labels)
    assert [each.name for each in training.above()] == ["bars", "features", "labels"]
    assert bars.by_session
    assert bars.has_partitions
    assert not training.has_partitions


def test_what_follows_searches_only_follows_their_refresh() -> None:
    bars = stage("bars")
    search = stage("search", bars, searched=True)
    assert search.follows_refresh
    assert stage("verdict", search).follows_refresh
    assert not stage("signals", search, bars).follows_refresh
