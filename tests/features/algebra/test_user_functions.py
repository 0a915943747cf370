"""Python functions as features: the same in every executor, alone in their failures."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import apply, close, compute, rolling_max, rolling_min, volume
from nofx_pipelines.features.algebra.user_functions import applied
from nofx_pipelines.features.streaming.stream import Stream
from tests.features.worlds import YEAR, one_series, random_bars, same_bits, set_of

F64 = NDArray[np.float64]


def spread(x: F64) -> float:
    return float(x.max() - x.min())


def moody(x: F64, v: F64) -> float:
    if v[-1] < 15_000:
        raise RuntimeError(f"{v[-1]:.0f} is too quiet")
    return float(x[-1] / x[0])


def test_against_the_operators() -> None:
    bars = random_bars(3, 40, suspended=0.1, missing=0.1)
    frame = compute(
        bars,
        set_of(a=apply(spread, 6, close), b=rolling_max(close, 6) - rolling_min(close, 6)),
        bars_per_year=YEAR,
    ).frame
    assert frame["a"].equals(frame["b"])
    oracle = compute(bars, set_of(a=apply(spread, 6, close)), bars_per_year=YEAR, engine="polars").frame
    assert oracle["a"].equals(frame["a"])


def test_one_that_raises_gives_nulls_and_is_counted_and_quoted() -> None:
    bars = random_bars(2, 40, suspended=0)
    moods = apply(moody, 3, close, volume)
    features = set_of(mood=moods, plain=close * 2)
    frame = compute(bars, features, bars_per_year=YEAR).frame
    told = applied(str(moods.params[0]))
    quiet = frame.join(bars, on=["instrument_id", "ts_close"]).filter(pl.col("volume") < 15_000)
    assert quiet.height > 0
    assert quiet["mood"].null_count() == quiet.height
    assert frame["plain"].null_count() == 0
    assert 0 < told.errors < told.calls
    assert told.last_error.endswith("is too quiet")
    assert told.last_error.startswith("RuntimeError")


def test_the_stream_has_the_batch_s_bits() -> None:
    bars = random_bars(4, 50, suspended=0.2, missing=0.05)
    features = set_of(a=apply(spread, 6, close) * 2, b=apply(moody, 3, close, volume))
    stream = Stream(features, [], bars_per_year=YEAR)
    parts = [stream.update(part) for part in bars.sort("ts_close").partition_by("ts_close")]
    same_bits(pl.concat(parts), compute(bars, features, bars_per_year=YEAR).frame)


def test_it_cannot_change_what_it_is_given() -> None:
    def rude(x: F64) -> float:
        x[:] = 0.0
        return 1.0

    frame = compute(
        one_series([1.0, 2.0, 3.0]), set_of(a=apply(rude, 2, close), b=close + 0), bars_per_year=YEAR
    ).frame
    assert frame["b"].to_list() == [1.0, 2.0, 3.0]


def test_another_source_is_another_version() -> None:
    def one(x: F64) -> float:
        return float(x.sum())

    first = set_of(a=apply(one, 2, close)).version

    def one(x: F64) -> float:  # type: ignore[no-redef]
        return float(x.sum() + 1)

    assert set_of(a=apply(one, 2, close)).version != first
    with pytest.raises(FeatureError, match="no source text"):
        apply(eval("lambda x: 1.0"), 2, close)  # noqa: S307
    with pytest.raises(FeatureError, match="needs a column"):
        apply(spread, 2)
