"""The stage's work on tables: two folds, no search, too short a history, one instrument, constant columns."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.config import NasConfig, UniverseConfig
from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.nas.refresh import SearchRefresh, known_search, refresh_search
from nofx_pipelines.registry.tracking import Tracker

Plant = Callable[..., tuple[pl.DataFrame, pl.DataFrame]]
NAS = NasConfig(trials=4, epochs=1, rows=300, lookback=1)
UNIVERSE = UniverseConfig(name="cn", market="cn", freq="1d", nas=NAS)
STAMP = {"inputs": "i", "run_id": "run", "code_version": "c"}


@pytest.fixture(scope="module")
def tracker(mlflow_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    found = Tracker(tmp_path_factory.mktemp("home"))
    shutil.copytree(mlflow_folder, found.folder)
    return found


def _lake(folder: Path, training_set: pl.DataFrame, folds: pl.DataFrame) -> Lake:
    lake = Lake(folder / "lake")
    lake.table("cn", "training_set").overwrite(training_set)
    lake.table("cn", "folds").overwrite(folds)
    return lake


def _search(lake: Lake, tracker: Tracker, universe: UniverseConfig = UNIVERSE) -> SearchRefresh:
    return refresh_search(lake, tracker, universe, **STAMP)


def test_it_writes_its_trials_and_reads_them_back(tmp_path: Path, tracker: Tracker, plant: Plant) -> None:
    lake = _lake(tmp_path, *plant(sessions=120))
    found = _search(lake, tracker)
    assert (found.rows, found.complete, found.failed) == (6, 6, 0)
    assert set(found.figures) == {"history", "pareto"}
    trials = lake.table("cn", "nas_trials").scan().collect()
    assert trials["fidelity"].to_list()[-2:] == [1.0, 1.0]
    known = known_search(lake, UNIVERSE)
    assert known.best == found.best
    assert found.best is not None
    assert found.best.spec.horizon == UNIVERSE.labels.horizon


def test_two_folds_are_enough(tmp_path: Path, tracker: Tracker, plant: Plant) -> None:
    rows, folds = plant(sessions=120)
    lake = _lake(tmp_path, rows, folds.filter(pl.col("fold") > 0))
    found = _search(lake, tracker)
    trials = lake.table("cn", "nas_trials").scan().collect()
    assert trials.filter(pl.col("fidelity") == 1.0)["trial"].to_list() == [4, 5]
    assert found.best is not None
    assert found.best.trial in (4, 5)


def test_without_trials_the_table_is_empty(tmp_path: Path, tracker: Tracker, plant: Plant) -> None:
    lake = _lake(tmp_path, *plant(sessions=60))
    none = dataclasses.replace(UNIVERSE, nas=NasConfig(trials=0))
    found = _search(lake, tracker, none)
    assert (found.rows, found.best, found.figures) == (0, None, {})
    assert lake.table("cn", "nas_trials").scan().collect().is_empty()


def test_without_the_family_network_nothing_is_searched(
    tmp_path: Path, tracker: Tracker, plant: Plant
) -> None:
    lake = _lake(tmp_path, *plant(sessions=60))
    found = _search(lake, tracker, dataclasses.replace(UNIVERSE, families=("ridge", "gbdt")))
    assert (found.rows, found.best, found.figures) == (0, None, {})
    assert lake.table("cn", "nas_trials").scan().collect().is_empty()
    assert not (tmp_path / "studies").exists()


def test_a_fold_without_rows_is_named(tmp_path: Path, tracker: Tracker, plant: Plant) -> None:
    rows, folds = plant(sessions=120)
    valid = folds.filter((pl.col("fold") == 0) & (pl.col("role") == "valid"))
    inside = pl.col("session_date").is_between(valid["start"][0], valid["end"][0])
    lake = _lake(tmp_path, rows.filter(~inside), folds)
    with pytest.raises(NotEnoughData, match=r"the fold 2 before last has \d+ train and 0 valid rows"):
        _search(lake, tracker)
    assert not lake.table("cn", "nas_trials").exists()


@pytest.mark.parametrize("spoil", ["one_instrument", "constant", "unknown", "infinite", "single"])
def test_odd_columns_and_few_instruments_are_searched(
    tmp_path: Path, tracker: Tracker, plant: Plant, spoil: str
) -> None:
    rows, folds = plant(sessions=120)
    if spoil == "one_instrument":
        rows = rows.filter(pl.col("instrument_id") == rows["instrument_id"][0])
    elif spoil == "single":
        rows = rows.drop("rank_b", "rank_c", "drift", "gap")
    else:
        value = {"constant": 3.0, "unknown": None, "infinite": float("inf")}[spoil]
        rows = rows.with_columns(pl.lit(value, dtype=pl.Float64).alias("drift"))
    found = _search(_lake(tmp_path, rows, folds), tracker)
    assert (found.complete, found.failed) == (6, 0)
