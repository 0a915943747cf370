"""The best trial of each family, and tables that were written before trials named their family."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.hpo.best import best_trials, stored_trials
from nofx_pipelines.lake.schemas import HPO_TRIALS, NAS_TRIALS
from nofx_pipelines.lake.store import Lake

DAY = datetime(2026, 1, 1, tzinfo=UTC)
UNIVERSE = UniverseConfig(name="cn", market="cn", freq="1d")


def trials(family: str | None, *values: float | None, study: str = "cn-x") -> pl.DataFrame:
    """A trial a value; None: it failed."""
    rows = [
        (
            study,
            number,
            "FAIL" if value is None else "COMPLETE",
            None if value is None else [value, 0.2, 0.1],
            json.dumps({"number": number}),
            7,
            1.0,
            DAY,
            DAY,
            0.1,
            "local",
            family,
        )
        for number, value in enumerate(values)
    ]
    return pl.DataFrame(rows, schema=HPO_TRIALS.columns, orient="row")


def test_the_highest_rank_ic_is_the_best_and_the_earlier_of_equals() -> None:
    both = pl.concat([trials("gbdt", 0.1, 0.3, 0.3, None), trials("mine:FAMILY", -0.2, -0.1)])
    best = best_trials(both)
    assert (best["gbdt"].trial, best["gbdt"].rank_ic, best["gbdt"].params) == (1, 0.3, {"number": 1})
    assert (best["mine:FAMILY"].trial, best["mine:FAMILY"].rank_ic) == (1, -0.1)
    assert list(best_trials(both.sample(fraction=1.0, shuffle=True, seed=3))["gbdt"].params.values()) == [1]


def test_a_family_without_a_complete_trial_has_no_best() -> None:
    pruned = trials("gbdt", 0.1).with_columns(
        state=pl.lit("PRUNED"), values=pl.lit(None, pl.List(pl.Float64))
    )
    assert best_trials(pl.concat([pruned, trials("mine:FAMILY", None)])) == {}


def test_the_family_is_the_last_column_of_studies_and_none_of_searches() -> None:
    assert list(HPO_TRIALS.columns)[-1] == "family"
    assert "family" not in NAS_TRIALS.columns


def test_rows_come_in_the_order_of_their_trials(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    frame = pl.concat([trials("b", 0.1, 0.2, study="cn-b"), trials("a", 0.3, study="cn-a")])
    lake.table("cn", "hpo_trials").overwrite(frame.reverse())
    stored = stored_trials(lake, UNIVERSE)
    assert stored.select("study", "trial").rows() == [("cn-a", 0), ("cn-b", 0), ("cn-b", 1)]


def test_a_table_written_before_there_was_a_family_is_of_the_gradient_boosting(tmp_path: Path) -> None:
    before = Lake(tmp_path).table("cn", "hpo_trials")
    columns = {name: dtype for name, dtype in HPO_TRIALS.columns.items() if name != "family"}
    before.schema = dataclasses.replace(
        HPO_TRIALS, columns=columns, nullable=HPO_TRIALS.nullable - {"family"}
    )
    before.overwrite(trials(None, 0.1, 0.3).drop("family"))
    (file,) = before.folder.glob("*.parquet")
    assert "family" not in pl.read_parquet_schema(file)
    lake = Lake(tmp_path)
    stored = stored_trials(lake, UNIVERSE)
    assert stored["family"].to_list() == ["gbdt", "gbdt"]
    assert best_trials(stored)["gbdt"].trial == 1
    lake.table("cn", "hpo_trials").overwrite(trials("mine:FAMILY", 0.5))
    assert stored_trials(lake, UNIVERSE)["family"].to_list() == ["mine:FAMILY"]


@pytest.mark.parametrize("values", [(), (None, None)])
def test_no_trial_is_no_best(values: tuple[None, ...]) -> None:
    assert best_trials(trials("gbdt", *values)) == {}
