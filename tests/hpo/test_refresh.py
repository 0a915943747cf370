"""The stage's work on tables: a study a family that has a space, one failing family among others, none."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.config import SearchConfig, UniverseConfig
from nofx_pipelines.errors import ModelError, PluginError
from nofx_pipelines.hpo.refresh import StudyRefresh, known_study, refresh_study, searched_spaces
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.registry.tracking import Tracker
from tests.skeleton_files import write_skeleton

Plant = Callable[..., tuple[pl.DataFrame, pl.DataFrame]]
UNIVERSE = UniverseConfig(name="cn", market="cn", freq="1d", search=SearchConfig(trials=3, seed=3))
STAMP = {"inputs": "i", "run_id": "run", "code_version": "c"}
MINE = "mine:FAMILY"


@pytest.fixture(scope="module")
def tracker(mlflow_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    own = Tracker(tmp_path_factory.mktemp("home"))
    shutil.copytree(mlflow_folder, own.folder)
    return own


@pytest.fixture
def lake(tmp_path: Path, plant: Plant) -> Lake:
    made = Lake(tmp_path / "lake")
    for name, frame in zip(("training_set", "folds"), plant(sessions=120), strict=True):
        made.table("cn", name).overwrite(frame)
    return made


def refreshed(lake: Lake, tracker: Tracker, **changed: object) -> StudyRefresh:
    return refresh_study(lake, tracker, dataclasses.replace(UNIVERSE, **changed), **STAMP)


def test_by_default_the_gradient_boosting_is_studied_alone(lake: Lake, tracker: Tracker) -> None:
    assert list(searched_spaces(UNIVERSE)) == ["gbdt"]
    found = refreshed(lake, tracker)
    trials = lake.table("cn", "hpo_trials").scan().collect()
    assert (found.rows, trials["family"].to_list()) == (3, ["gbdt"] * 3)
    assert trials["study"].unique().str.starts_with("cn-gbdt-").all()
    assert set(found.figures) == {"history", "importance", "pareto"}
    known = known_study(lake, UNIVERSE)
    assert (known.best_family, known.best_value, known.best_params) == (
        "gbdt",
        found.best_value,
        found.best_params,
    )


def test_a_user_s_family_has_a_study_of_its_own(lake: Lake, tracker: Tracker, tmp_path: Path) -> None:
    """Named in the table, in MLflow and in front of its figures; the boosting's trials are the same."""
    write_skeleton("families", tmp_path / "plugins")
    alone = refreshed(lake, tracker)
    before = lake.table("cn", "hpo_trials").scan().sort("trial").collect()
    families = {"families": ("ridge", "gbdt", MINE, "network"), "plugins": tmp_path / "plugins"}
    both = refreshed(lake, tracker, **families)
    trials = lake.table("cn", "hpo_trials").scan().sort("study", "trial").collect()
    assert (both.rows, both.complete, both.failed) == (6, 6, 0)
    assert trials.filter(family="gbdt").equals(before)
    ours = trials.filter(family=MINE)
    assert ours["study"].unique().str.starts_with("cn-mine-FAMILY-").all()
    assert ours["values"].list.len().to_list() == [4, 4, 4]
    assert set(both.figures) == {
        f"{family}-{name}"
        for family in ("gbdt", "mine-FAMILY")
        for name in ("history", "importance", "pareto")
    }
    best = ours["values"].list.get(0).max()
    assert both.best_value == max(best, alone.best_value)
    assert both.best_family == (MINE if best > alone.best_value else "gbdt")
    client = tracker.client
    experiment = client.get_experiment_by_name("cn")
    runs = client.search_runs([experiment.experiment_id], "params.family = 'mine:FAMILY'")
    assert [run.info.run_name for run in runs] == [ours["study"][0]]


def test_two_worker_processes_load_the_user_s_family_by_name(
    lake: Lake, tracker: Tracker, tmp_path: Path
) -> None:
    write_skeleton("families", tmp_path / "plugins")
    tables = []
    for workers in (1, 2):
        shutil.rmtree(tmp_path / "studies", ignore_errors=True)
        refreshed(
            lake,
            tracker,
            families=("ridge", MINE),
            plugins=tmp_path / "plugins",
            search=SearchConfig(trials=5, seed=3, workers=workers),
        )
        tables.append(lake.table("cn", "hpo_trials").scan().sort("trial").collect())
    columns = ["study", "trial", "state", "values", "params", "fidelity", "family"]
    assert tables[0].select(columns).equals(tables[1].select(columns))
    assert set(tables[1]["worker"]) <= {"worker-0", "worker-1"}


def test_a_changed_family_is_another_study(lake: Lake, tracker: Tracker, tmp_path: Path) -> None:
    file = write_skeleton("families", tmp_path / "plugins")
    options = {"families": ("ridge", MINE), "plugins": tmp_path / "plugins"}
    refreshed(lake, tracker, **options)
    first = lake.table("cn", "hpo_trials").scan().collect()["study"][0]
    refreshed(lake, tracker, **options)
    assert lake.table("cn", "hpo_trials").scan().collect()["study"][0] == first
    file.write_text(file.read_text().replace("range(500)", "range(2)"))
    refreshed(lake, tracker, **options)
    assert lake.table("cn", "hpo_trials").scan().collect()["study"][0] != first


def test_a_family_whose_every_trial_fails_stops_no_other(
    lake: Lake, tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_skeleton("families", tmp_path / "plugins")
    file.write_text(
        file.read_text().replace("        z, share =", "        raise OSError('gone')\n        z, share =")
    )
    with caplog.at_level(logging.WARNING, "nofx_pipelines.hpo.refresh"):
        found = refreshed(lake, tracker, families=("ridge", MINE, "gbdt"), plugins=tmp_path / "plugins")
    assert (found.complete, found.failed, found.best_family) == (3, 3, "gbdt")
    assert "plug-in 'mine:FAMILY'" in found.failures[MINE]
    assert "raised OSError when fitting it: gone" in found.failures[MINE]
    assert "family mine:FAMILY: none of the 3 trials" in caplog.text
    trials = lake.table("cn", "hpo_trials").scan().collect()
    assert set(trials.filter(family=MINE)["state"]) == {"FAIL"}
    assert {name.split("-")[0] for name in found.figures} == {"gbdt"}
    assert known_study(lake, dataclasses.replace(UNIVERSE, families=("ridge", MINE, "gbdt"))).failed == 3


def test_where_every_family_fails_nothing_is_written(lake: Lake, tracker: Tracker, tmp_path: Path) -> None:
    file = write_skeleton("families", tmp_path / "plugins")
    file.write_text(
        file.read_text().replace("        z, share =", "        raise OSError('gone')\n        z, share =")
    )
    with pytest.raises(ModelError, match=r"none of the 3 trials of study cn-mine-FAMILY-\w+ .*OSError"):
        refreshed(lake, tracker, families=("ridge", MINE), plugins=tmp_path / "plugins")
    assert not lake.table("cn", "hpo_trials").exists()


def test_a_family_that_cannot_be_imported_is_named_before_anything_runs(
    lake: Lake, tracker: Tracker, tmp_path: Path
) -> None:
    write_skeleton("families", tmp_path / "plugins").write_text("import nowhere\n")
    with pytest.raises(PluginError, match=r"plug-in 'mine:FAMILY' .* No module named 'nowhere'"):
        refreshed(lake, tracker, families=("ridge", "gbdt", MINE), plugins=tmp_path / "plugins")
    assert not (tmp_path / "studies").exists()


def test_without_a_family_that_is_searched_the_table_is_empty(lake: Lake, tracker: Tracker) -> None:
    found = refreshed(lake, tracker, families=("ridge", "network"))
    assert (found.rows, found.best_value, found.best_params, found.figures) == (0, None, {}, {})
    assert lake.table("cn", "hpo_trials").scan().collect().is_empty()
    assert known_study(lake, UNIVERSE).best_family is None
