"""The kernel against the independent oracle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nofx_pipelines.features import Expr, compute, feature_set
from tests.features.worlds import EVERY, YEAR, numbers, random_bars, set_of, worst

LIMIT = 1e-9


def compare(bars: pl.DataFrame, features: object) -> dict[str, float]:
    ours = compute(bars, features, bars_per_year=YEAR).frame  # type: ignore[arg-type]
    oracle = compute(bars, features, bars_per_year=YEAR, engine="polars").frame  # type: ignore[arg-type]
    assert ours.select("instrument_id", "ts_close", "session_date", "version").equals(
        oracle.select("instrument_id", "ts_close", "session_date", "version")
    )
    return worst(ours, oracle, features.columns)  # type: ignore[attr-defined]


@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("flat", [0.0, 0.4])
def test_every_operator_over_many_symbols(missing: float, flat: float) -> None:
    bars = random_bars(60, 150, seed=3, suspended=0.1, missing=missing, flat=flat)
    gaps = compare(bars, EVERY)
    assert max(gaps.values()) <= LIMIT, gaps


@pytest.mark.parametrize("missing", [0.0, 0.02])
def test_technical_over_many_symbols(missing: float) -> None:
    bars = random_bars(100, 260, seed=5, suspended=0.1, missing=missing)
    gaps = compare(bars, feature_set("technical"))
    assert max(gaps.values()) <= LIMIT, gaps


def test_warm_up_rows_alone() -> None:
    for sessions in (1, 2, 5, 19, 20, 21, 61, 64):
        gaps = compare(random_bars(12, sessions, seed=sessions, suspended=0.05), feature_set("technical"))
        assert max(gaps.values()) <= LIMIT, (sessions, gaps)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.2]),
    st.sampled_from([0.0, 0.3]),
    st.lists(numbers(), min_size=1, max_size=4),
)
def test_any_expression(seed: int, missing: float, flat: float, exprs: list[Expr]) -> None:
    features = set_of(**{f"f{k}": e for k, e in enumerate(exprs)})
    bars = random_bars(8, 40, seed=seed, missing=missing, flat=flat)
    compare_where_well_conditioned(bars, features)


def compare_where_well_conditioned(bars: pl.DataFrame, features: object) -> None:
    """Random trees divide by differences of equals and compare rounding errors: skip what is unstable.

    A feature counts as unstable when relative changes of up to 1e-13, another one for each bar, move it by
    more than 1e-10. (One change for all bars would leave every ratio, and so every return of 0, as it was.)
    """
    noise = pl.Series("noise", np.random.default_rng(1).uniform(-1e-13, 1e-13, bars.height))
    moved = bars.with_columns(pl.col("open", "high", "low", "close", "volume", "amount") * (1 + noise))
    a = compute(bars, features, bars_per_year=YEAR, engine="polars").frame  # type: ignore[arg-type]
    b = compute(moved, features, bars_per_year=YEAR, engine="polars").frame  # type: ignore[arg-type]
    ours = compute(bars, features, bars_per_year=YEAR).frame  # type: ignore[arg-type]
    for name in features.columns:  # type: ignore[attr-defined]
        if a[name].is_null().equals(b[name].is_null()) and worst(a, b, (name,))[name] <= 1e-10:
            assert worst(a, ours, (name,))[name] <= LIMIT, features[name]  # type: ignore[index]


def test_real_minutes(real_data: Path) -> None:
    path = real_data / "market" / "crypto" / "nautilus_btc_perp_1m_2021-12-31_2022-02-01.csv.gz"
    raw = pl.read_csv(path, try_parse_dates=True)
    bars = raw.select(
        pl.lit("CRYPTO.BINANCE.PERP.BTC-USDT").alias("instrument_id"),
        pl.col("timestamp").dt.cast_time_unit("us").dt.replace_time_zone("UTC").alias("ts_close"),
        pl.col("timestamp").dt.date().alias("session_date"),
        pl.col("open", "high", "low", "close", "volume").cast(pl.Float64),
    )
    assert bars.height > 40_000
    gaps = compare(bars, feature_set("technical"))
    assert max(gaps.values()) <= LIMIT, gaps
