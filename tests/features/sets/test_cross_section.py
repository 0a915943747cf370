"""``cross_section`` and ``crypto`` against NumPy."""

from __future__ import annotations

import numpy as np
import polars as pl

from nofx_pipelines.features import compute, feature_set
from tests.features.worlds import YEAR, random_bars


def wide(frame: pl.DataFrame, name: str) -> np.ndarray:
    table = frame.pivot("instrument_id", index="ts_close", values=name).sort("ts_close")
    return table.select(sorted(c for c in table.columns if c != "ts_close")).to_numpy().astype(float)


def test_beta_and_residual_to_market_and_sector() -> None:
    bars = random_bars(6, 120, suspended=0)
    bars = bars.filter(
        pl.col("ts_close") >= bars.group_by("instrument_id").agg(pl.col("ts_close").min())["ts_close"].max()
    )
    got = compute(bars, feature_set("cross_section"), bars_per_year=YEAR).frame
    close, sector = wide(bars, "close"), [("bank", "food", None)[i % 3] for i in range(6)]
    r = np.vstack([np.full(6, np.nan), np.diff(np.log(close), axis=0)])
    market = np.repeat(r.mean(axis=1)[:, None], 6, axis=1)
    group = np.full_like(r, np.nan)
    for name in ("bank", "food"):
        own = [i for i in range(6) if sector[i] == name]
        group[:, own] = r[:, own].mean(axis=1)[:, None]
    for kind, other in (("market", market), ("sector", group)):
        beta, residual = wide(got, f"{kind}_beta_60"), wide(got, f"{kind}_residual")
        for t in (60, 77, len(r) - 1):
            for i in range(6):
                x, y = other[t - 59 : t + 1, i], r[t - 59 : t + 1, i]
                if np.isnan(x).any():
                    assert np.isnan(beta[t, i])
                    continue
                slope, level = np.polyfit(x, y, 1)
                np.testing.assert_allclose(beta[t, i], slope, rtol=1e-8)
                np.testing.assert_allclose(
                    residual[t, i], y[-1] - slope * x[-1] - level, rtol=1e-6, atol=1e-12
                )
    np.testing.assert_allclose(wide(got, "return_less_market")[5], r[5] - r[5].mean(), atol=1e-12)
    np.testing.assert_allclose(
        wide(got, "return_score")[5], (r[5] - r[5].mean()) / r[5].std(ddof=1), rtol=1e-9
    )


def test_neutralised_returns_have_no_size_in_them() -> None:
    bars = random_bars(12, 60, suspended=0)
    got = compute(bars, feature_set("cross_section"), bars_per_year=YEAR).frame
    size = np.log(
        wide(
            bars.sort("instrument_id", "ts_close").with_columns(
                size=pl.col("amount").rolling_mean(20).over("instrument_id")
            ),
            "size",
        )
    )
    left = wide(got, "return_20_without_size")
    for t in (40, 59):
        there = ~np.isnan(left[t]) & ~np.isnan(size[t])
        assert there.sum() >= 5
        assert abs(np.corrcoef(left[t][there], size[t][there])[0, 1]) < 1e-9


def test_crypto_by_hand() -> None:
    bars = random_bars(1, 60, suspended=0).with_columns(
        taker_volume=pl.col("volume") * 0.75, taker_amount=pl.col("amount") * 0.75, n_trades=pl.lit(7)
    )
    got = compute(bars, feature_set("crypto"), bars_per_year=YEAR).frame
    np.testing.assert_allclose(got["taker_imbalance"].to_numpy(), 0.5)
    np.testing.assert_allclose(got["taker_imbalance_12"].drop_nulls().to_numpy(), 0.5)
    np.testing.assert_allclose(got["taker_price"].to_numpy(), 0, atol=1e-12)
    assert got["basis"].null_count() == got["funding"].null_count() == bars.height
    more = bars.with_columns(index_price=pl.col("close") / 1.01, funding_rate=pl.lit(1e-4))
    got = compute(more, feature_set("crypto"), bars_per_year=YEAR).frame
    np.testing.assert_allclose(got["basis"].to_numpy(), 0.01)
    np.testing.assert_allclose(got["funding_mean_21"].drop_nulls().to_numpy(), 1e-4)
