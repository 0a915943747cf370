"""The kernel's numerics against exact arithmetic, and the laws of its blocks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nofx_pipelines.features import (
    Expr,
    age,
    close,
    compute,
    cumsum,
    ema,
    feature_set,
    ref,
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_std,
    rolling_sum,
    rolling_var,
    wilder,
)
from nofx_pipelines.features.kernel import blocks

from .worlds import EVERY, YEAR, one_series, random_bars, set_of

F64 = NDArray[np.float64]


def run(expr: Expr, values: list[float | None]) -> list[float | None]:
    features = set_of(x=expr)
    return compute(one_series(values), features, bars_per_year=YEAR).frame["x"].to_list()


def long_run(expr: Expr, values: F64) -> F64:
    ts = pl.datetime_range(
        pl.datetime(2000, 1, 1), pl.datetime(2010, 1, 1), "1m", time_zone="UTC", time_unit="us", eager=True
    )
    frame = pl.DataFrame({"ts_close": ts.head(len(values)), "close": values}).with_columns(
        instrument_id=pl.lit("A"), session_date=pl.col("ts_close").dt.date()
    )
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
    known = list(blocks.run.signatures)
    compute(random_bars(2, 400), feature_set("technical"), bars_per_year=YEAR, snapshots=True)
    compute(random_bars(1, 3), set_of(x=close), bars_per_year=YEAR)
    assert blocks.run.signatures == known
    assert len(known) == 1
