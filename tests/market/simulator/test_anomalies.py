"""What is written to truth_anomalies is what happened to the bars, and nothing else changed."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from nofx_pipelines.market.checks import check_rows
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.market.simulator.anomalies import INVALID, KINDS
from nofx_pipelines.market.sources.simulated import TRUTH_MINUTES

PATH_KINDS = ("limit_lock", "cross_sectional_drift", "unadjusted_split")
KEY = ["instrument_id", "ts_open"]
VALUES = ["open", "high", "low", "close", "volume", "amount", "n_trades"]
YEARS = {"start": date(2021, 1, 1), "end": date(2024, 1, 1)}
SEEDS = {"cn": 7, "hk": 7, "crypto": 7}


def touched(truth: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """Bars of each anomaly, with its kind and strength."""
    return bars.join(truth.drop("session_date"), on="instrument_id").filter(
        (pl.col("ts_open") >= pl.col("ts_start")) & (pl.col("ts_close") <= pl.col("ts_end"))
    )


@pytest.fixture(scope="module")
def planted(simulate: Any, bars_of: Any) -> dict[str, tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]]:
    """Bars with anomalies, the same bars without, and the truth: long enough that each kind comes."""
    found = {}
    for market, seed in SEEDS.items():
        dirty = simulate(market, seed=seed, anomalies=True, **YEARS)
        clean = simulate(market, seed=seed, **YEARS)
        found[market] = (bars_of(dirty), bars_of(clean), dirty.truth()["truth_anomalies"])
    return found


def test_every_kind_comes_and_is_rare(planted: Any) -> None:
    for market, (bars, _, truth) in planted.items():
        assert set(truth["kind"]) <= {kind.name for kind in KINDS if market in kind.markets} | set(INVALID)
        assert truth["kind"].n_unique() >= 8
        assert touched(truth, bars).height < 0.01 * bars.height
    found = {kind for _, _, truth in planted.values() for kind in truth["kind"]}
    assert found == {kind.name for kind in KINDS} | set(INVALID)


def test_invalid_rows_are_few_and_the_checks_find_each(planted: Any) -> None:
    rules = {"duplicate": "duplicate_key", "ohlc_violation": "ohlc_order", "zero_price": "non_positive_price"}
    for market, (bars, _, truth) in planted.items():
        wanted = truth.filter(pl.col("kind").is_in(list(INVALID)))
        assert wanted.height < 10 * 4
        now = bars["ts_close"].max() + timedelta(days=1)
        _, rejects = check_rows(bars.drop("row_hash"), calendar(market), freq="1d", now=now)
        named = wanted.select(
            "instrument_id", pl.col("ts_start").alias("ts_open"), pl.col("kind").replace(rules).alias("rule")
        )
        gone = named.join(bars, on=KEY, how="anti")  # a gap may hold the row that was to be broken
        assert gone.height <= 1
        assert (
            rejects.select(*KEY, "rule")
            .sort(KEY)
            .equals(named.join(bars.unique(KEY), on=KEY, how="semi").sort(KEY))
        )


def test_bars_far_from_any_anomaly_are_untouched(planted: Any) -> None:
    """Until the first anomaly that moves the path, only the planted bars differ."""
    seen = 0
    for bars, clean, truth in planted.values():
        first = truth.filter(pl.col("kind").is_in(PATH_KINDS))["ts_start"].min()
        early = bars.filter(pl.col("ts_close") <= first).unique(KEY, maintain_order=True)
        both = early.join(clean, on=KEY, suffix="_clean")
        changed = both.filter(
            pl.any_horizontal(pl.col(v).ne_missing(pl.col(f"{v}_clean")) for v in VALUES)
        ).select(KEY)
        seen += changed.height
        assert changed.join(touched(truth, bars), on=KEY, how="anti").is_empty()
    assert seen > 5


@pytest.mark.parametrize("market", ["cn", "hk", "crypto"])
def test_each_recipe_does_what_it_says(planted: Any, market: str) -> None:
    bars, clean, truth = planted[market]
    hit = touched(truth, bars)
    one_price = (pl.col("high") == pl.col("low")) & (pl.col("open") == pl.col("close"))
    assert hit.filter(pl.col("kind").is_in(["stale", "limit_lock"])).select(one_price.all()).item()
    stale = hit.filter(pl.col("kind") == "stale")
    assert stale.group_by("instrument_id", "ts_start").agg(pl.col("close").n_unique())["close"].max() == 1
    units = hit.filter(pl.col("kind") == "unit_switch").select(
        (pl.col("amount") / pl.col("volume") / pl.col("close")).median()
    )
    assert units.item() in (None, pytest.approx(100, rel=0.05))
    assert touched(truth.filter(pl.col("kind") == "gap"), bars).is_empty()
    gaps = touched(truth.filter(pl.col("kind") == "gap"), clean)
    assert gaps.height >= truth.filter(pl.col("kind") == "gap").height
    loud = hit.filter(pl.col("kind").is_in(["volume_spike", "wash"])).join(clean, on=KEY, suffix="_clean")
    factor = loud["volume"] / loud["volume_clean"] / loud["strength"]
    assert factor.median() == pytest.approx(1, rel=0.05)


def test_a_lock_closes_at_the_limit_and_a_missed_split_is_in_no_table(simulate: Any, planted: Any) -> None:
    bars, _, truth = planted["cn"]
    hit = touched(truth, bars)
    at_limit = (pl.col("close") == pl.col("limit_up")) | (pl.col("close") == pl.col("limit_down"))
    assert hit.filter(pl.col("kind") == "limit_lock").select(at_limit.all()).item()
    actions = simulate("cn", seed=SEEDS["cn"], anomalies=True, **YEARS).corporate_actions()
    traded = bars.filter(pl.col("status") == "traded").sort("instrument_id", "ts_open")
    ratio = traded.with_columns(
        (pl.col("close").shift(1).over("instrument_id") / pl.col("prev_close")).alias("ratio")
    )
    splits = touched(truth.filter(pl.col("kind") == "unadjusted_split"), ratio)
    assert splits.height > 0
    assert splits.select((pl.col("ratio") / (1 + pl.col("strength")) - 1).abs().max()).item() < 0.05
    keys = actions.select("instrument_id", pl.col("ex_date").alias("session_date"))
    assert splits.join(keys, on=["instrument_id", "session_date"], how="semi").is_empty()


def test_minutes_have_their_recipes_too(simulate: Any, bars_of: Any) -> None:
    source = simulate(
        "cn", "1m", seed=3, start=date(2024, 1, 1), end=date(2024, 3, 20), instruments=25, anomalies=True
    )
    bars, truth = bars_of(source), source.truth()["truth_anomalies"]
    assert truth["kind"].n_unique() >= 8
    crash = touched(truth.filter(pl.col("kind") == "flash_crash"), bars)
    longest = crash.group_by("instrument_id", "ts_start", "strength").agg(
        pl.len(), pl.col("low").min() / pl.col("open").first()
    )
    deep = longest.filter(pl.col("len") == 15)
    assert deep.height >= 1
    assert (deep["low"] < 1 - 0.6 * deep["strength"]).all()
    signal = source.truth()["truth_signal"]
    assert signal["ts_close"].n_unique() == bars["session_date"].n_unique() * 240 // TRUTH_MINUTES
