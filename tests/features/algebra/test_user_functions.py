"""Python functions as features: the same in every executor, alone in their failures."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import apply, close, compute, rolling_max, rolling_min, volume
from nofx_pipelines.features.algebra.user_functions import _LIVE, applied, failures_of
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
    told = applied(moods.params[0])
    quiet = frame.join(bars, on=["instrument_id", "ts_close"]).filter(pl.col("volume") < 15_000)
    assert quiet.height > 0
    assert quiet["mood"].null_count() == quiet.height
    assert frame["plain"].null_count() == 0
    assert 0 < told.errors < told.calls
    assert told.last_error.endswith("is too quiet")
    assert told.last_error.startswith("RuntimeError")


def test_failures_of_an_expression_are_those_of_all_functions_in_it() -> None:
    bars = random_bars(2, 40, suspended=0)
    moods = apply(moody, 3, close, volume)
    both = moods + apply(spread, 4, close) * 2
    before = failures_of(moods)[0]
    compute(bars, set_of(mood=moods), bars_per_year=YEAR)
    whole = (
        bars.sort("ts_close")
        .with_columns(row=pl.int_range(pl.len()).over("instrument_id"))
        .filter(pl.col("row") >= 2)
    )
    count, message = failures_of(both)
    assert count - before == whole.filter(pl.col("volume") < 15_000).height > 0
    assert message is not None
    assert message.startswith("RuntimeError: ")
    assert message.endswith("is too quiet")
    assert failures_of(apply(spread, 4, close)) == failures_of(close + 1) == (0, None)


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
    with pytest.raises(FeatureError, match="needs a column"):
        apply(spread, 2)
    with pytest.raises(FeatureError, match="is not a function"):
        apply(3.0, 2, close)  # type: ignore[arg-type]


def test_functions_of_one_text_stay_apart() -> None:
    def scaled(k: float) -> Callable[[F64], float]:
        return lambda x: float(x.mean() * k)

    highest, lowest = (lambda x: x.max()), (lambda x: x.min())
    by_default = [lambda x, k=k: x.mean() * k for k in (4.0, 5.0)]
    features = set_of(
        two=apply(scaled(2), 3, close),
        three=apply(scaled(3), 3, close),
        highest=apply(highest, 3, close),
        lowest=apply(lowest, 3, close),
        four=apply(by_default[0], 3, close),
        five=apply(by_default[1], 3, close),
        text=apply(eval("lambda x: x[0]"), 3, close),  # noqa: S307
    )
    bars = one_series([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    for engine in ("numba", "polars"):
        last = compute(bars, features, bars_per_year=YEAR, engine=engine).frame.tail(1)  # type: ignore[arg-type]
        assert last.select(features.columns).rows() == [(10.0, 15.0, 6.0, 4.0, 20.0, 25.0, 4.0)]
    one_each = [set_of(a=feature.expr).version for feature in features.features]
    assert len(set(one_each)) == 7


RATE = 2.0


def rated(x: F64) -> float:
    return float(x.mean() * RATE)


def test_another_constant_is_another_version_and_stops_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = one_series([1.0, 2.0, 3.0])
    before = set_of(a=apply(rated, 2, close))
    stream = Stream(before, [], bars_per_year=YEAR)
    first = bars.head(1)
    stream.update(first)
    assert compute(bars, before, bars_per_year=YEAR).frame["a"].to_list() == [None, 3.0, 5.0]
    monkeypatch.setattr("tests.features.algebra.test_user_functions.RATE", 3.0)
    after = set_of(a=apply(rated, 2, close))
    assert after.version != before.version
    assert compute(bars, after, bars_per_year=YEAR).frame["a"].to_list() == [None, 4.5, 7.5]
    for stale in (
        lambda: compute(bars, before, bars_per_year=YEAR),
        lambda: compute(bars, before, bars_per_year=YEAR, engine="polars"),
        lambda: stream.update(bars.slice(1, 1)),
    ):
        with pytest.raises(FeatureError, match=r"'rated' reads .* has changed since"):
            stale()
    monkeypatch.setattr("tests.features.algebra.test_user_functions.RATE", 2.0)
    assert compute(bars, before, bars_per_year=YEAR).frame["a"].to_list() == [None, 3.0, 5.0]


def test_what_remembers_rows_is_stopped_in_its_first_batch() -> None:
    rows: list[float] = []

    def counting(x: F64) -> float:
        rows.append(float(x[-1]))
        return float(len(rows))

    features = set_of(a=apply(counting, 2, close))
    with pytest.raises(FeatureError, match="changes while it runs"):
        compute(one_series([1.0, 2.0, 3.0]), features, bars_per_year=YEAR)


def test_functions_of_a_loop_are_not_collected() -> None:
    """A notebook makes lambdas without end; what no feature and no remembered program calls goes."""

    def made(k: int) -> tuple[weakref.ref[Any], str]:
        function: Callable[[F64], float] = lambda x: float(x[-1] * k)  # noqa: E731
        features = set_of(a=apply(function, 2, close))
        frame = compute(one_series([1.0, 2.0]), features, bars_per_year=YEAR).frame
        assert frame["a"].to_list() == [None, 2.0 * k]
        return weakref.ref(function), str(features["a"].expr.params[0])

    done = [made(k) for k in range(150)]
    gc.collect()
    alive = [k for k, (function, _) in enumerate(done) if function() is not None]
    assert len(alive) <= 70  # as many as plans are remembered
    assert max(alive) == 149
    assert len([key for _, key in done if key in _LIVE]) == len(alive)
