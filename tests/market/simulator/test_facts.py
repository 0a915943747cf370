"""The measures are right on series with known answers, and the bars fall into the stated bands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from nofx_pipelines.market.simulator.facts import BANDS, acf, excess_kurtosis, hill, measure
from nofx_pipelines.market.sources.simulated import SimulatedSource


def test_kurtosis_equals_scipys() -> None:
    values = np.random.default_rng(1).standard_t(5, 4_000)
    assert excess_kurtosis(values) == pytest.approx(stats.kurtosis(values))


def test_acf_of_an_autoregression_is_its_coefficient_to_the_lag() -> None:
    random, values = np.random.default_rng(2), np.zeros(200_000)
    for k in range(1, len(values)):
        values[k] = 0.6 * values[k - 1] + random.standard_normal()
    assert [acf(values, k) for k in (1, 3)] == pytest.approx([0.6, 0.216], abs=0.01)


@pytest.mark.parametrize("index", [2.0, 4.0])
def test_hill_finds_the_index_of_a_pareto_tail(index: float) -> None:
    draws = stats.pareto(index).rvs(300_000, random_state=3)
    assert hill(draws) == pytest.approx(index, rel=0.03)


def outside(facts: dict[str, float], market: str, freq: str) -> dict[str, float]:
    bands = BANDS[market, freq]
    return {name: facts[name] for name, (low, high) in bands.items() if not low <= facts[name] <= high}


@pytest.mark.parametrize("market", ["cn", "hk", "crypto"])
@pytest.mark.parametrize("seed", [1, 2])
def test_daily_bars_look_like_real_ones(
    simulate: Any, bars_of: Callable[[SimulatedSource], pl.DataFrame], market: str, seed: int
) -> None:
    assert outside(measure(bars_of(simulate(market, seed=seed))), market, "1d") == {}


@pytest.mark.parametrize("market", ["cn", "hk"])
def test_minute_bars_look_like_real_ones(simulate: Any, bars_of: Any, market: str) -> None:
    source = simulate(market, "1m", seed=1, start=date(2024, 1, 1), end=date(2024, 2, 10))
    assert outside(measure(bars_of(source)), market, "1m") == {}


def test_crypto_minutes_look_like_real_ones(simulate: Any, bars_of: Any) -> None:
    source = simulate("crypto", "1m", seed=1, start=date(2024, 1, 1), end=date(2024, 1, 15), instruments=12)
    assert outside(measure(bars_of(source)), "crypto", "1m") == {}


def test_anomalies_leave_the_stylised_facts_alone(simulate: Any, bars_of: Any) -> None:
    source = simulate("cn", seed=1, anomalies=True)
    broken = source.truth()["truth_anomalies"].filter(
        pl.col("kind").is_in(["zero_price", "ohlc_violation", "duplicate"])
    )
    bars = bars_of(source).unique(["instrument_id", "ts_open"], maintain_order=True)
    bars = bars.join(
        broken, left_on=["instrument_id", "ts_open"], right_on=["instrument_id", "ts_start"], how="anti"
    )
    assert outside(measure(bars), "cn", "1d") == {}


@pytest.mark.slow
@pytest.mark.parametrize("market", ["cn", "hk", "crypto"])
def test_daily_facts_hold_on_many_seeds(simulate: Any, bars_of: Any, market: str) -> None:
    """At least nine of ten further seeds lie in every band."""
    good = [not outside(measure(bars_of(simulate(market, seed=s))), market, "1d") for s in range(10, 30)]
    assert sum(good) >= 18
