"""What is planted equals the formula on the features' own values, and has the rank IC that is stated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.features import feature_set
from nofx_pipelines.features.execution.batch import compute
from nofx_pipelines.market.adjust import adjusted
from nofx_pipelines.market.simulator.signal import INTERACTION, LINEAR, SignalWindow, centred_rank, planted
from nofx_pipelines.market.sources.simulated import SimulatedSource

KEY = ["instrument_id", "ts_close"]
MARKETS = ("cn", "hk", "crypto")


def forward(bars: pl.DataFrame, horizon: int) -> pl.DataFrame:
    traded = bars.filter(pl.col("status") == "traded").sort("instrument_id", "ts_close")
    later = (pl.col("close").shift(-horizon) / pl.col("close")).log().over("instrument_id")
    return traded.select(*KEY, "session_date", later.alias("forward"))


def rank_ic(frame: pl.DataFrame, score: str) -> float:
    known = frame.filter(pl.col("forward").is_not_null() & (pl.col(score) != 0))
    by_session = known.group_by("session_date").agg(pl.corr(score, "forward", method="spearman").alias("ic"))
    return float(by_session["ic"].fill_nan(None).drop_nulls().to_numpy().mean())


def adjusted_bars(source: SimulatedSource, bars: pl.DataFrame) -> pl.DataFrame:
    return adjusted(bars, source.corporate_actions())


@pytest.mark.parametrize("market", MARKETS)
def test_planted_parts_are_the_formula_on_the_named_features(
    simulate: Any, bars_of: Callable[[SimulatedSource], pl.DataFrame], market: str
) -> None:
    """Oracle: the feature library's Polars engine on the delivered bars."""
    source = simulate(market, seed=3)
    bars = adjusted_bars(source, bars_of(source)).filter(pl.col("status") == "traded")
    features = compute(bars, feature_set("technical"), bars_per_year=250.0, engine="polars").frame
    joined = source.truth()["truth_signal"].join(features, on=KEY).drop_nulls("rank_volatility")
    joined = joined.filter(pl.col("linear").abs() + pl.col("interaction").abs() > 0)
    product = pl.col("rank_volume_ratio") * pl.col("rank_volatility")
    told = joined.with_columns(
        (-LINEAR * (pl.col("rank_return_20") + pl.col("rank_return_5")) / 2).alias("reversal"),
        (INTERACTION * (product - product.mean().over("ts_close"))).alias("attention"),
    )
    assert told.height > 15_000
    for planted_part, formula in (("linear", "reversal"), ("interaction", "attention")):
        by_session = told.group_by("session_date").agg(pl.corr(planted_part, formula).alias("same"))
        assert by_session["same"].quantile(0.01) > 0.999  # type: ignore[operator]


@pytest.mark.parametrize("market", MARKETS)
def test_oracle_rank_ic_lies_in_its_band_and_grows_with_the_horizon(
    simulate: Any, bars_of: Callable[[SimulatedSource], pl.DataFrame], market: str
) -> None:
    found: dict[str, list[float]] = {name: [] for name in ("next", "linear", "interaction", "five")}
    for seed in (1, 2, 3):
        source = simulate(market, seed=seed, anomalies=True)
        bars = adjusted_bars(source, bars_of(source))
        truth = source.truth()["truth_signal"]
        nearest, farther = (forward(bars, h).join(truth, on=KEY) for h in (1, 5))
        found["next"].append(rank_ic(nearest, "expected_return"))
        found["linear"].append(rank_ic(nearest, "linear"))
        found["interaction"].append(rank_ic(nearest, "interaction"))
        found["five"].append(rank_ic(farther, "expected_return"))
    means = {name: float(np.mean(values)) for name, values in found.items()}
    assert 0.075 < means["next"] < 0.10
    assert all(0.05 < ic < 0.115 for ic in found["next"])  # one seed's sampling error is .007
    assert 0.04 < means["linear"] < 0.08
    assert 0.05 < means["interaction"] < 0.09
    assert means["five"] > 0.12


def test_both_halves_have_half_of_the_planted_variance(simulate: Any) -> None:
    for market in MARKETS:
        truth = simulate(market, seed=2).truth()["truth_signal"].filter(pl.col("linear") != 0)
        linear, interaction = truth["linear"].var(), truth["interaction"].var()
        assert 0.4 < linear / (linear + interaction) < 0.6  # type: ignore[operator]


def linear_fit(simulate: Any, bars_of: Any, seed: int, *, signal: bool) -> tuple[float, float]:
    """Out-of-sample correlation of least squares on all features with the two parts that it fits."""
    source = simulate("cn", seed=seed, signal=signal)
    bars = adjusted_bars(source, bars_of(source)).filter(pl.col("status") == "traded")
    features = compute(bars, feature_set("technical"), bars_per_year=250.0).frame
    names = [f.name for f in feature_set("technical").features if f.scale_free]
    known = features.drop_nulls(names).sort("ts_close")
    product = pl.col("rank_volume_ratio") * pl.col("rank_volatility")
    parts = known.select(
        (pl.col("rank_return_20") + pl.col("rank_return_5")), product - product.mean().over("ts_close")
    ).to_numpy()
    x = known.select(names).to_numpy()
    x = np.column_stack([np.ones(len(x)), (x - x.mean(axis=0)) / x.std(axis=0)])
    cut = int(0.7 * len(x))
    fitted = x[cut:] @ np.linalg.lstsq(x[:cut], parts[:cut], rcond=None)[0]
    linear, interaction = (float(np.corrcoef(fitted[:, k], parts[cut:, k])[0, 1]) for k in range(2))
    return linear, interaction


def test_a_linear_model_learns_the_linear_half_and_nothing_of_the_interaction(
    simulate: Any, bars_of: Any
) -> None:
    """The product has no linear trace in any feature; planted, it leaves a faint one in past returns."""
    unplanted = [linear_fit(simulate, bars_of, seed, signal=False) for seed in (5, 6)]
    assert abs(np.mean([interaction for _, interaction in unplanted])) < 0.08
    assert min(linear for linear, _ in unplanted) > 0.99
    planted_too = [linear_fit(simulate, bars_of, seed, signal=True) for seed in (5, 6)]
    assert abs(np.mean([interaction for _, interaction in planted_too])) < 0.2


def test_without_a_signal_nothing_is_expected_and_the_noise_is_the_same(simulate: Any, bars_of: Any) -> None:
    with_signal, without = (simulate("crypto", seed=4, signal=on) for on in (True, False))
    truth = without.truth()["truth_signal"]
    assert truth.height == with_signal.truth()["truth_signal"].height
    assert truth.select(pl.col("linear", "interaction", "expected_return").abs().max()).row(0) == (0, 0, 0)
    assert bars_of(with_signal)["volume"].equals(bars_of(without)["volume"])
    difference = forward(bars_of(with_signal), 1).join(
        forward(bars_of(without), 1).select(*KEY, pl.col("forward").alias("unplanted")), on=KEY
    )
    planted_too = difference.join(with_signal.truth()["truth_signal"], on=KEY).drop_nulls()
    gap = planted_too.select((pl.col("forward") - pl.col("unplanted")).alias("gap"), "expected_return")
    assert gap.select(pl.corr("gap", "expected_return")).item() > 0.99  # ticks round the rest away


def test_below_five_instruments_nothing_is_planted() -> None:
    random = np.random.default_rng(1)
    window = SignalWindow.empty(4)
    for _ in range(40):
        window.push(random.normal(0, 0.01, 4), random.random(4) + 1, np.ones(4, dtype=bool))
    assert not np.any(planted(window, np.ones(4, dtype=bool)))


def test_the_window_moves_only_where_something_traded() -> None:
    window = SignalWindow.empty(3)
    window.push(np.array([0.1, 0.2, 0.3]), np.array([5.0, 6.0, 7.0]), np.array([True, False, True]))
    assert window.log_return[-1].tolist() == [0.1, 0.0, 0.3]
    assert window.volume[-1].tolist() == [5.0, 1.0, 7.0]
    assert window.filled.tolist() == [1.0, 0.0, 1.0]


def test_ranks_leave_out_what_is_unknown() -> None:
    ranks = centred_rank(np.array([5.0, np.nan, 1.0, 3.0]), np.array([True, False, True, True]))
    assert ranks.tolist() == [0.5, -0.5, 0.0]
