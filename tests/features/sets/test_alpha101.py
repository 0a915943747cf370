"""``alpha101`` against the paper's own text, read by a parser and pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from nofx_pipelines.features import compute, feature_set
from tests.features.worlds import YEAR, random_bars

from .paper_alphas import PRINTED, evaluated

COLUMNS = ("open", "high", "low", "close", "volume", "amount", "sector")


@pytest.fixture(scope="module")
def world() -> tuple[pl.DataFrame, dict[str, pd.DataFrame]]:
    """Features of 16 instruments over some 400 days, and the bars as wide frames."""
    bars = random_bars(16, 560, suspended=0, missing=0, flat=0.0, seed=5)
    begun = bars.group_by("instrument_id").agg(pl.col("ts_close").min())["ts_close"].max()
    bars = bars.filter(pl.col("ts_close") >= begun)
    frames = {
        name: bars.pivot("instrument_id", index="ts_close", values=name)
        .sort("ts_close")
        .to_pandas()
        .set_index("ts_close")
        .sort_index(axis=1)
        for name in COLUMNS
    }
    frames["vwap"] = frames["amount"] / frames["volume"]
    frames["returns"] = frames["close"] / frames["close"].shift(1) - 1
    return compute(bars, feature_set("alpha101"), bars_per_year=YEAR).frame, frames


def test_all_that_daily_bars_allow_are_there() -> None:
    assert list(feature_set("alpha101").columns) == [f"alpha{number:03d}" for number in PRINTED]
    assert len(PRINTED) == 86


@pytest.mark.parametrize("number", PRINTED)
def test_the_first_value_comes_when_it_is_said_to(
    number: int, world: tuple[pl.DataFrame, dict[str, pd.DataFrame]]
) -> None:
    feature = feature_set("alpha101")[f"alpha{number:03d}"]
    there = world[0].sort("ts_close").group_by("instrument_id").agg(pl.col(feature.name).is_not_null())
    first = min(row.index(True) for row in there[feature.name].to_list() if any(row))
    if number in (1, 7, 21):  # one side of a condition is there before the other
        assert first < feature.expr.warm_up
    else:
        assert first == feature.expr.warm_up


@pytest.mark.parametrize("number", PRINTED)
def test_it_is_what_the_paper_prints(
    number: int, world: tuple[pl.DataFrame, dict[str, pd.DataFrame]]
) -> None:
    got, frames = world
    name = f"alpha{number:03d}"
    ours = got.pivot("instrument_id", index="ts_close", values=name).sort("ts_close").drop("ts_close")
    values = ours.select(sorted(ours.columns)).to_numpy().astype(float)
    wanted = evaluated(PRINTED[number], frames).to_numpy(dtype=float)
    np.testing.assert_array_equal(np.isnan(values), np.isnan(wanted))
    assert np.isfinite(values).mean() > 0.2
    np.testing.assert_allclose(values, wanted, rtol=1e-7, atol=1e-8)
