"""What each feature of a stream costs by itself."""

from __future__ import annotations

import numpy as np
import polars as pl

from nofx_pipelines.features import Expr, apply, close, compute, rank, rolling_mean, rolling_skew, volume
from nofx_pipelines.features.streaming.feature_costs import costs
from nofx_pipelines.features.streaming.stream import Stream
from tests.features.worlds import YEAR, random_bars, set_of


def many() -> Expr:
    """Two hundred windows."""
    total = close * 0
    for n in range(10, 210):
        total = total + rolling_skew(close, n)
    return total


def test_what_does_more_costs_more_and_the_stream_stays_as_it_is() -> None:
    bars = random_bars(3, 60, seed=1)
    features = set_of(cheap=rolling_mean(close, 5), dear=many(), across=rank(volume, 2))
    stream = Stream(features, bars["instrument_id"].unique().to_list(), bars_per_year=YEAR)
    assert costs(stream).height == 0
    stream.update(bars)
    before, values = stream.state.values.copy(), stream.values()
    found = costs(stream, moments=40)
    assert sorted(found["feature"].to_list()) == ["across", "cheap", "dear"]
    assert (found["worst_us"] >= found["mean_us"]).all()
    tables = [found, *(costs(stream, moments=40) for _ in range(4))]  # the least of five: others run here too
    mean = dict(pl.concat(tables).group_by("feature").agg(pl.min("mean_us")).iter_rows())
    assert mean["dear"] > mean["cheap"] > 0
    np.testing.assert_array_equal(stream.state.values, before)
    assert stream.values().equals(values)


def raising(x: object) -> float:
    raise ValueError("no such luck")


def test_errors_of_python_functions_are_counted_with_the_feature() -> None:
    bars = random_bars(1, 12, suspended=0.0, missing=0.0)
    features = set_of(odd=apply(raising, 3, close), fine=rolling_mean(close, 3))
    compute(bars, features, bars_per_year=YEAR)
    stream = Stream(features, bars["instrument_id"].unique().to_list(), bars_per_year=YEAR)
    begun = stream.statistics().filter(pl.col("feature") == "odd")["errors"].item()
    stream.update(bars)
    table = {row["feature"]: row for row in stream.statistics().iter_rows(named=True)}
    assert table["odd"]["errors"] > begun
    assert table["odd"]["last_error"] == "ValueError: no such luck"
    assert (table["fine"]["errors"], table["fine"]["last_error"]) == (0, None)
    assert table["odd"]["values"] == 0
    assert table["fine"]["values"] == bars.height - 2
