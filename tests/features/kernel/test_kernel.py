"""The kernel's numerics against exact arithmetic, and the laws of its blocks."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nofx_pipelines.features import (
    Expr,
    FeatureSet,
    age,
    close,
    compute,
    cumsum,
    ema,
    feature_set,
    ref,
    rolling_corr,
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_product,
    rolling_rsquare,
    rolling_slope,
    rolling_std,
    rolling_sum,
    rolling_var,
    volume,
    wilder,
)
from nofx_pipelines.features.kernel import blocks, histories, windows
from nofx_pipelines.features.kernel.codes import BLOCK
from nofx_pipelines.features.kernel.rows import SUM
from nofx_pipelines.features.streaming.stream import Stream
from tests.features.worlds import EVERY, YEAR, one_series, random_bars, same_bits, set_of

F64 = NDArray[np.float64]


def run(expr: Expr, values: list[float | None]) -> list[float | None]:
    features = set_of(x=expr)
    return compute(one_series(values), features, bars_per_year=YEAR).frame["x"].to_list()


def long_run(expr: Expr, values: F64, second: F64 | None = None) -> F64:
    """The feature of a long series of closes, with a second one for the volume."""
    ts = pl.datetime_range(
        pl.datetime(2000, 1, 1), pl.datetime(2010, 1, 1), "1m", time_zone="UTC", time_unit="us", eager=True
    )
    frame = pl.DataFrame({"ts_close": ts.head(len(values)), "close": values}).with_columns(
        instrument_id=pl.lit("A"), session_date=pl.col("ts_close").dt.date()
    )
    if second is not None:
        frame = frame.with_columns(volume=second)
    return compute(frame, set_of(x=expr), bars_per_year=YEAR).frame["x"].to_numpy()


def exact_variance(window: F64, ddof: int) -> float:
    numbers = [Fraction(float(x)) for x in window]
    mean = sum(numbers, Fraction(0)) / len(numbers)
    return float(sum(((x - mean) ** 2 for x in numbers), Fraction(0)) / (len(numbers) - ddof))


def spiky(bars: int, seed: int = 0) -> F64:
    """Prices of 1e4 that move by 1e-4, with spikes of up to 1e9 that come and go."""
    rng = np.random.default_rng(seed)
    values = 1e4 * np.exp(np.cumsum(rng.normal(0, 1e-4, bars)))
    at = rng.random(bars) < 0.01
    values[at] *= 10.0 ** rng.uniform(1, 5, at.sum())
    return values


def check_variance(bars: int, checked: int, n: int) -> None:
    values = spiky(bars)
    ours = long_run(rolling_var(close, n), values)
    after = np.flatnonzero(values > 1e5)[:, None] + np.array([n - 1, n, n + 1])
    spread = np.random.default_rng(1).integers(n - 1, bars, checked)
    rows = np.unique(np.concatenate([after[after < bars][:checked], spread, np.arange(bars - 200, bars)]))
    rows = rows[rows >= n - 1]
    worst = 0.0
    for t in rows.tolist():
        expected = exact_variance(values[t - n + 1 : t + 1], 1)
        worst = max(worst, abs(ours[t] - expected) / expected)
    assert worst <= 1e-11, worst


@pytest.mark.parametrize("n", [2, 20, 60])
def test_variance_of_spiky_bars_is_exact_to_1e_11(n: int) -> None:
    check_variance(100_000, 400, n)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 20, 250])
def test_variance_of_a_million_spiky_bars(n: int) -> None:
    check_variance(1_000_000, 3_000, n)


def spiky_volume(bars: int) -> F64:
    """Lognormal volumes with spikes of up to 1e5 times that come and go."""
    rng = np.random.default_rng(11)
    values = rng.lognormal(10, 1, bars)
    at = rng.random(bars) < 0.01
    values[at] *= 10.0 ** rng.uniform(1, 5, at.sum())
    return values


def exact_line(x: F64, y: F64) -> tuple[float, float, float]:
    """Slope of y on x, that of a perfect fit, and correlation: of a window in fractions."""
    xs, ys = ([Fraction(float(v)) for v in values] for values in (x, y))
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    xx, yy = sum((a - mean_x) ** 2 for a in xs), sum((b - mean_y) ** 2 for b in ys)
    xy = sum((a - mean_x) * (b - mean_y) for a, b in zip(xs, ys, strict=True))
    return float(xy / xx), math.sqrt(yy / xx), float(xy) / math.sqrt(xx * yy)


def wide_lines(x: F64, y: F64, n: int) -> tuple[F64, F64, F64]:
    """The same of every window: two passes in the widest floats that there are."""
    parts = []
    for first in range(0, len(x) - n + 1, 2**20 // n):
        away = []
        for values in (x, y):
            part = values[first : first + 2**20 // n + n - 1].astype(np.longdouble)
            windows = np.lib.stride_tricks.sliding_window_view(part, n)
            away.append(windows - windows.mean(axis=1, keepdims=True))
        xx, yy, xy = ((a * b).sum(axis=1) for a, b in ((away[0],) * 2, (away[1],) * 2, away))
        parts.append((xy / xx, np.sqrt(yy / xx), xy / np.sqrt(xx * yy)))
    slope, unit, corr = (np.concatenate(each).astype(np.float64) for each in zip(*parts, strict=True))
    return slope, unit, corr


def check_lines(bars: int, n: int, sampled: int) -> None:
    """Every window: entered by a spike, with one inside, just left by one, late.

    Slopes are scaled by that of a line that fits the window; R squared and correlations are at most 1.
    The reference itself is held against fractions in ``sampled`` windows that a spike enters or just left.
    """
    rows = np.arange(bars, dtype=np.float64)
    prices, others, volumes = spiky(bars), spiky(bars, seed=7), spiky_volume(bars)
    worst: dict[str, float] = {}
    reference: dict[str, float] = {}
    spikes = np.flatnonzero(prices[n:-1] > 1e5)[:: bars // 100 // sampled + 1] + n
    starts = np.unique(np.concatenate([spikes - n + 1, spikes, spikes + 1])[: 3 * sampled])
    for name, x, y in (("line", rows, prices), ("prices", others, prices), ("volume", volumes, prices)):
        slope, unit, corr = wide_lines(x, y, n)
        for start in starts[starts + n <= bars].tolist():
            exact = exact_line(x[start : start + n], y[start : start + n])
            gap = max(abs(slope[start] - exact[0]) / exact[1], abs(corr[start] - exact[2]))
            reference[name] = max(reference.get(name, 0.0), gap)
        if name == "line":
            ours = long_run(rolling_slope(close, n), prices)[n - 1 :]
            worst["slope"] = (np.abs(ours - slope) / unit).max()
            ours = long_run(rolling_rsquare(close, n), prices)[n - 1 :]
            worst["R squared"] = np.abs(ours - corr * corr).max()
        else:
            ours = long_run(rolling_corr(close, volume, n), prices, x)[n - 1 :]
            worst[f"correlation with {name}"] = np.abs(ours - corr).max()
    assert max(reference.values()) <= 1e-14, reference
    assert max(worst.values()) <= 1e-8, worst
    assert len(worst) == 4


@pytest.mark.parametrize("n", [3, 20, 60])
def test_lines_and_correlations_of_spiky_bars_are_exact_to_1e_8(n: int) -> None:
    check_lines(100_000, n, 30)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 20, 250])
def test_lines_and_correlations_of_a_million_spiky_bars(n: int) -> None:
    check_lines(1_000_000, n, 100)


def test_variance_of_equal_values_is_zero() -> None:
    assert run(rolling_std(close, 3), [0.1] * 7) == [None, None, 0.0, 0.0, 0.0, 0.0, 0.0]


cells = st.one_of(st.none(), st.floats(-1e3, 1e3).map(lambda x: round(x, 3)))


@pytest.mark.parametrize("n", [2, 3, 7, 20])
@pytest.mark.parametrize("least", [1, 2])
def test_windows_of_a_long_series_with_holes(n: int, least: int) -> None:
    rng = np.random.default_rng(n)
    check_windows([None if rng.random() < 0.3 else float(x) for x in rng.normal(5, 3, 300)], n, least)


@settings(deadline=None)
@given(st.lists(cells, max_size=40), st.integers(1, 12), st.integers(1, 12))
def test_windows_against_brute_force(values: list[float | None], n: int, least: int) -> None:
    check_windows(values, n, min(n, least))


def check_windows(values: list[float | None], n: int, least: int) -> None:
    windows = [[v for v in values[max(0, t + 1 - n) : t + 1] if v is not None] for t in range(len(values))]
    enough = [w if len(w) >= least else None for w in windows]
    assert run(rolling_min(close, n, least), values) == [min(w) if w else None for w in enough]
    assert run(rolling_max(close, n, least), values) == [max(w) if w else None for w in enough]
    for expr, function in (
        (rolling_sum(close, n, least), np.sum),
        (rolling_mean(close, n, least), np.mean),
        (rolling_var(close, n, least, 0), np.var),
    ):
        for got, window in zip(run(expr, values), enough, strict=True):
            assert got == (None if window is None else pytest.approx(function(window), abs=1e-9, rel=1e-9))


special = st.sampled_from([None, 0.0, -0.0, 1e308, -1e308, 1.5, -2.25, 3.1])


def four_windows(n: int, least: int) -> FeatureSet:
    """The windows whose two parts are merged for all rows of a block at once."""
    return set_of(
        sum=rolling_sum(close, n, least),
        product=rolling_product(close, n, least),
        least=rolling_min(close, n, least),
        most=rolling_max(close, n, least),
        of_sums=rolling_sum(rolling_sum(close, 2, 1), n, least),
    )


@settings(deadline=None, max_examples=300)
@given(
    st.integers(0, 90).flatmap(lambda size: st.lists(special | cells, min_size=size, max_size=size)),
    st.integers(1, 40),
    st.integers(1, 40),
    st.lists(st.integers(1, 89), max_size=3),
)
def test_a_long_history_is_its_rows_one_by_one(
    values: list[float | None], n: int, least: int, cuts: list[int]
) -> None:
    """Rows that are merged together and rows by themselves: the same bits, and the same state after them."""
    features, bars = four_windows(n, min(n, least)), one_series(values)
    stream = Stream(features, ["A"], bars_per_year=YEAR)
    alone = [stream.update(bars[k : k + 1]) for k in range(len(values))]
    state, parts = None, []
    for lo, hi in pairwise([0, *sorted({cut for cut in cuts if cut < len(values)}), len(values)]):
        result = compute(bars[lo:hi], features, bars_per_year=YEAR, state=state)
        state = result.state
        parts.append(result.frame)
    if values:
        same_bits(pl.concat(parts), pl.concat(alone))
        assert state is not None
        assert state.values.tobytes() == stream.state.values.tobytes()


@pytest.mark.parametrize("n", [1, 16, 100, BLOCK])
def test_what_is_merged_together_stays_in_its_scratch(n: int) -> None:
    """The last row ends a block of n: the suffixes after it lie furthest."""
    room, x, out = np.full(blocks.scratch(n, BLOCK, 1) + 2 * BLOCK, 7.25), np.ones(BLOCK), np.zeros(BLOCK)
    valid, state, begin = np.full(BLOCK, float(n)), np.zeros(n), -BLOCK % n
    at, _ = windows._merged(
        *(SUM, x.ctypes.data, valid.ctypes.data, out.ctypes.data, 1.0, n, begin, float(begin)),
        *(state.ctypes.data, 0, 1, 0, BLOCK, blocks.line_of(room, 1)),
    )
    assert at == 0
    assert state.tolist() == list(range(n, 0, -1))
    assert (room[-2 * BLOCK :] == 7.25).all()


def test_ref_sees_missing_values_as_missing() -> None:
    assert run(ref(close, 2), [1.0, None, 3.0, 4.0]) == [None, None, 1.0, None]


def test_ema_is_seeded_by_the_mean_and_carried_over_missing_values() -> None:
    assert run(ema(close, 3), [1.0, None, 2.0, 6.0, 5.0, None, 4.0]) == [None, None, None, 3.0, 4.0, 4.0, 4.0]
    assert run(ema(close, 1), [2.0, None, 5.0]) == [2.0, 2.0, 5.0]


def test_ema_seeded_later_is_the_mean_of_the_values_that_end_there() -> None:
    assert run(ema(close, 2, seed_at=4), [9.0, 9.0, 1.0, 3.0, 5.0]) == [None, None, None, 2.0, 4.0]


def test_wilder_is_the_textbook_recursion() -> None:
    values = np.random.default_rng(2).normal(size=50)
    average = values[:5].mean()
    expected = [average]
    for x in values[5:]:
        average = (average * 4 + x) / 5
        expected.append(average)
    assert run(wilder(close, 5), values.tolist())[4:] == pytest.approx(expected, rel=1e-12)


def test_cumulative_sum_and_age_over_missing_values() -> None:
    values = [None, 1.0, None, None, 2.0]
    assert run(cumsum(close), values) == [None, 1.0, 1.0, 1.0, 3.0]
    assert run(age(close), values) == [None, 0.0, 1.0, 2.0, 0.0]


def test_another_feature_set_compiles_nothing() -> None:
    compute(random_bars(3, 10), EVERY, bars_per_year=YEAR)
    known = list(histories.run.signatures)
    compute(random_bars(2, 400), feature_set("technical"), bars_per_year=YEAR, snapshots=True)
    compute(random_bars(1, 3), set_of(x=close), bars_per_year=YEAR)
    assert histories.run.signatures == known
    assert len(known) == 1
