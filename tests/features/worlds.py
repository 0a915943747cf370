"""Bars and expressions that the tests of features share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import strategies as st

from nofx_pipelines.features import (
    Expr,
    Feature,
    FeatureSet,
    age,
    amount,
    atan,
    bars_per_year,
    bars_since,
    clip,
    close,
    cross_mean,
    cross_sum,
    cummax,
    cummin,
    cumprod,
    cumsum,
    decayed_mean,
    demean,
    ema,
    ewm,
    exp,
    fill_null,
    first_since,
    floor,
    high,
    hold,
    is_null,
    log,
    low,
    max_since,
    maximum,
    min_since,
    minimum,
    minute_of_day,
    neutralise,
    open_,
    rank,
    rank_share,
    recur,
    ref,
    resample,
    rolling_argmax,
    rolling_argmin,
    rolling_beta,
    rolling_beta_residual,
    rolling_corr,
    rolling_count,
    rolling_cov,
    rolling_kurt,
    rolling_mad,
    rolling_max,
    rolling_mean,
    rolling_median,
    rolling_min,
    rolling_product,
    rolling_quantile,
    rolling_rank,
    rolling_residual,
    rolling_rsquare,
    rolling_skew,
    rolling_slope,
    rolling_std,
    rolling_sum,
    rolling_var,
    rolling_wmean,
    sample,
    sar,
    seasonal_mean,
    sector,
    sign,
    sqrt,
    sum_since,
    volume,
    where,
    wilder,
    zscore,
)

BEGIN = datetime(2024, 1, 1, 7, tzinfo=UTC)
YEAR = 243.0


def random_bars(
    instruments: int = 6,
    sessions: int = 80,
    *,
    seed: int = 0,
    per_session: int = 1,
    suspended: float = 0.05,
    missing: float = 0.0,
    flat: float = 0.0,
) -> pl.DataFrame:
    """Random walks with suspensions, missing cells, unmoved closes and listings on the way."""
    rng = np.random.default_rng(seed)
    moments = [BEGIN + timedelta(days=d, minutes=m) for d in range(sessions) for m in range(per_session)]
    frames = []
    for i in range(instruments):
        first = 0 if i % 3 else int(rng.integers(0, max(1, len(moments) // 3)))
        ts, n = moments[first:], len(moments) - first
        steps = np.where(rng.random(n) < flat, 0.0, rng.normal(0, 0.02, n))
        price = 10.0 * (i + 1) * np.exp(np.cumsum(steps))
        start = price * np.exp(rng.normal(0, 0.005, n))
        columns = {
            "open": start,
            "high": np.maximum(price, start) * (1 + 0.01 * rng.random(n)),
            "low": np.minimum(price, start) * (1 - 0.01 * rng.random(n)),
            "close": price,
            "volume": np.round(rng.lognormal(10, 1, n)),
            "amount": rng.lognormal(12, 1, n),
        }
        cells = {
            name: pl.Series(name, np.where(rng.random(n) < missing, np.nan, values)).fill_nan(None)
            for name, values in columns.items()
        }
        status = np.where(rng.random(n) < suspended, "suspended", "traded")
        keys = {
            "instrument_id": [f"CN.SSE.{600000 + i}"] * n,
            "ts_close": ts,
            "session_date": [t.date() for t in ts],
        }
        cells["sector"] = pl.Series("sector", [("bank", "food", None)[i % 3]] * n, pl.String)
        frames.append(pl.DataFrame({**keys, **cells, "status": status}))
    return pl.concat(frames).with_columns(pl.col("ts_close").cast(pl.Datetime("us", "UTC")))


def one_series(values: list[float | None], name: str = "close") -> pl.DataFrame:
    """One instrument's column."""
    ts = [BEGIN + timedelta(days=k) for k in range(len(values))]
    frame = pl.DataFrame({"instrument_id": "A", "ts_close": ts, "session_date": [t.date() for t in ts]})
    return frame.with_columns(
        pl.Series(name, values, pl.Float64), pl.col("ts_close").cast(pl.Datetime("us", "UTC"))
    )


def set_of(**exprs: Expr) -> FeatureSet:
    """A feature set of bare expressions."""
    return FeatureSet("test", tuple(Feature(n, e, "ratio", "For a test.", False) for n, e in exprs.items()))


_R = log(close / ref(close, 1))
_DOWN, _MANY = _R < 0, volume > 20_000

EVERY = set_of(
    arithmetic=(open_ - close) / (high - low) * 2 + amount,
    unary=-abs(sign(_R)) + sqrt(volume) + exp(_R),
    power=(close / open_) ** 3,
    choice=where((close > open_) & ~(volume < 20_000), close, open_),
    either=where((close <= open_) | is_null(volume), 1, 0),
    same=where(close.equals(ref(close, 1)), 1, 0),
    bounds=clip(_R, -0.01, 0.01) + minimum(close, open_) - maximum(close, open_),
    filled=fill_null(_R, 0.5),
    shifted=ref(close, 3) - ref(ref(close, 2), 1),
    counted=rolling_count(volume, 4),
    summed=rolling_sum(volume, 7) + rolling_sum(volume, 7, min_valid=3),
    averaged=rolling_mean(_R, 5, min_valid=2),
    spread=rolling_std(close, 10) + rolling_var(close, 10, 4, 0),
    alone=rolling_sum(close, 1) + rolling_max(close, 1) + rolling_var(close, 1, ddof=0),
    extremes=rolling_max(high, 9) - rolling_min(low, 9, min_valid=1),
    smooth=ema(close, 6) - wilder(close, 4),
    seeded=ema(close, 3, seed_at=8) + ewm(volume, 4, alpha=0.3),
    nested=ema(rolling_mean(ema(close, 3), 4), 5) + rolling_std(wilder(abs(_R), 3), 6),
    running=cumsum(volume),
    since=age(volume),
    ranked=rank(_R),
    after_rank=rolling_mean(rank(_R, 2), 5) + ema(rank(volume, 2), 3),
    rank_of_rank=rank(ref(rank(close, 2), 1) * volume, 3),
    yearly=rolling_std(_R, 20) * sqrt(bars_per_year),
    column=close,
    constant=close * 0 + 2,
    product=rolling_product(1 + _R, 5) + rolling_product(1 + _R, 9, 2),
    shape=rolling_skew(_R, 12) + rolling_kurt(_R, 12, 6),
    away=rolling_mad(close, 8, 3),
    places=rolling_argmax(high, 7) - rolling_argmin(low, 7, 3, ties="oldest"),
    places_of_missing=rolling_argmax(volume, 6, 1, ties="oldest", missing="first")
    + rolling_max(volume, 6, 1),
    ordered=rolling_quantile(close, 9, 0.8) - rolling_median(close, 9, 4) + rolling_rank(close, 9, 2),
    line=rolling_slope(close, 10) + rolling_rsquare(close, 10) + rolling_residual(close, 10, 5),
    weighted=rolling_wmean(close, 6) + rolling_wmean(volume, 6, 2),
    together=rolling_corr(close, volume, 10) + rolling_cov(close, volume, 10, 5, 0),
    regressed=rolling_beta(open_, close, 8) + rolling_beta_residual(open_, close, 8, 4),
    decaying=decayed_mean(close, 0.2) + decayed_mean(volume, 0.5, 3),
    recursive=recur(0.9, close * 0.1, close),
    record=cummax(high) - cummin(low) + cumprod(1 + _R),
    waiting=bars_since(_R < -0.01) + atan(_R),
    parabolic=sar(high, low) + sar(high, low, 0.1, 0.15),
    floored=floor(close * 3) + floor(_R * 100),
    begun=first_since(open_, _DOWN)
    + sum_since(volume, _DOWN)
    + max_since(high, _DOWN)
    - min_since(low, _DOWN),
    sampled=hold(rolling_mean(sample(close, _DOWN), 4) + ref(sample(volume, _DOWN), 2), _DOWN),
    slower=resample(rolling_std(close / open_, 3) + ema(high - low, 4) + rolling_rank(volume, 5, 2)),
    sampled_twice=hold(wilder(sample(hold(sample(close, _DOWN) - 1, _DOWN), _MANY), 3), _MANY)
    + hold(cumsum(sample(close, _MANY)), _MANY),
    sampled_ranks=rank(hold(ema(sample(rank(close, 2), _DOWN), 3) * sample(volume, _DOWN), _DOWN), 2),
    seasonal=volume / seasonal_mean(volume, minute_of_day / 10, 144, 3),
    scored=zscore(_R, 3) + demean(close) - cross_mean(volume),
    shared=rank_share(_R) / cross_sum(abs(_R)) + rank_share(volume, 2, group=sector),
    grouped=rank(_R, 2, group=sector) + zscore(volume, 2, group=sector),
    neutral=neutralise(_R, log(volume), 3) + neutralise(close, volume, 2, group=sector),
)
"""Every operator, alone, nested, below and above a cross-section."""


def numbers(depth: int = 3) -> st.SearchStrategy[Expr]:
    """Random expressions over all operators."""
    leaves = st.sampled_from([open_, high, low, close, volume, amount, _R])
    n = st.integers(1, 9)

    def grow(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
        windows = [rolling_sum, rolling_mean, rolling_min, rolling_max]
        windowed = st.builds(
            lambda f, x, k, m: f(x, k, min(k, m)), st.sampled_from(windows), inner, n, st.integers(1, 9)
        )
        spread = st.builds(
            lambda f, x, k, d: f(x, k, None, d),
            st.sampled_from([rolling_var, rolling_std]),
            inner,
            n,
            st.integers(0, 1),
        )
        recursive = st.builds(lambda f, x, k: f(x, k), st.sampled_from([ema, wilder]), inner, n)
        seeded = st.builds(lambda x, k, more: ema(x, k, seed_at=k + more), inner, n, st.integers(0, 5))
        other = st.builds(
            lambda f, x: f(x), st.sampled_from([abs, log, sign, sqrt, cumsum, age, rank]), inner
        )
        pair = st.builds(
            lambda f, a, b: f(a, b),
            st.sampled_from(
                [
                    lambda a, b: a + b,
                    lambda a, b: a - b,
                    lambda a, b: a * b,
                    lambda a, b: a / b,
                    minimum,
                    maximum,
                    fill_null,
                    lambda a, b: max_since(a, a < b),
                    lambda a, b: hold(rolling_mean(sample(a, a < b), 3, 1), a < b),
                    lambda a, b: hold(ema(sample(a, b <= close), 2), b <= close),
                    lambda a, b: where(a < b, a, b),
                    lambda a, b: where((a <= b) | is_null(a), b, 1),
                ]
            ),
            inner,
            inner,
        )
        shifted = st.builds(ref, inner, st.integers(0, 6))
        return st.one_of(windowed, spread, recursive, seeded, other, pair, shifted)

    return st.recursive(leaves, grow, max_leaves=2**depth)


def same_bits(left: pl.DataFrame, right: pl.DataFrame) -> None:
    """Both frames hold the same rows, floats compared by their bits."""
    key = ["instrument_id", "ts_close"]
    left, right = left.sort(key), right.sort(key)
    assert set(left.columns) == set(right.columns)
    assert left.height == right.height
    for name in left.columns:
        a, b = left[name], right[name]
        if a.dtype == pl.Float64:
            assert not a.is_nan().any(), f"{name} has NaN"
            assert a.is_null().equals(b.is_null()), f"{name}: nulls differ"
            bits_a, bits_b = (x.fill_null(0.0).to_numpy().view(np.int64) for x in (a, b))
            assert (bits_a == bits_b).all(), f"{name}: {(bits_a != bits_b).sum()} values differ"
        else:
            assert a.equals(b), name


def worst(left: pl.DataFrame, right: pl.DataFrame, names: tuple[str, ...]) -> dict[str, float]:
    """The largest difference of each column, scaled by the column's largest value of that instrument."""
    out = {}
    for name in names:
        a, b = left[name], right[name]
        assert a.is_null().equals(b.is_null()), f"{name}: nulls differ"
        scale = left.select(pl.col(name).abs().max().over("instrument_id")).to_series()
        frame = pl.DataFrame({"a": a, "b": b, "s": scale})
        scaled = (pl.col("a") - pl.col("b")).abs() / pl.max_horizontal("s", pl.lit(1e-12))
        gap = frame.select(scaled.max()).item()
        out[name] = 0.0 if gap is None else float(gap)
    return out
