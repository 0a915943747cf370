"""``intraday`` against loops over the sessions of one instrument."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from nofx_pipelines.features import compute, feature_set
from tests.features.worlds import YEAR

SESSIONS, BARS = 5, 8


def minutes() -> pl.DataFrame:
    """Bars of five minutes with a break of 90 in the middle, an auction at the end and limits."""
    rng, rows, price = np.random.default_rng(0), [], 10.0
    for day in range(SESSIONS):
        at = datetime(2025, 3, 3 + day, 1, 30, tzinfo=UTC)
        for k in range(BARS):
            at += timedelta(minutes=90 if k == BARS // 2 else 0)
            opened = price * math.exp(rng.normal(0, 0.004))
            price = opened * math.exp(rng.normal(0, 0.01))
            volume = float(rng.integers(100, 900))
            row: dict[str, object] = {
                "instrument_id": "A",
                "ts_open": at,
                "ts_close": at + timedelta(minutes=5),
            }
            row |= {"session_date": at.date(), "open": opened, "close": price, "volume": volume}
            row |= {"amount": volume * (price + opened) / 2, "limit_up": 11.5, "limit_down": 8.5}
            row["session_phase"] = "close_auction" if k == BARS - 1 else "continuous"
            rows.append(row)
            at += timedelta(minutes=5)
    utc = pl.Datetime("us", "UTC")
    return pl.DataFrame(rows).with_columns(pl.col("ts_open", "ts_close").cast(utc))


def test_against_loops_over_the_sessions() -> None:
    bars = minutes()
    got = compute(bars, feature_set("intraday"), bars_per_year=YEAR).frame
    rows = bars.to_dicts()
    for t, (row, mine) in enumerate(zip(rows, got.to_dicts(), strict=True)):
        own = [r for r in rows[: t + 1] if r["session_date"] == row["session_date"]]
        traded = sum(r["volume"] for r in own)
        wanted = {
            "vwap_distance": row["close"] / (sum(r["amount"] for r in own) / traded) - 1,
            "return_since_open": math.log(row["close"] / own[0]["open"]),
            "auction_share": sum(r["volume"] for r in own if "auction" in r["session_phase"]) / traded,
            "limit_up_distance": 11.5 / row["close"] - 1,
            "limit_down_distance": 1 - 8.5 / row["close"],
            "minutes_in_session": (row["ts_close"] - own[0]["ts_open"]).total_seconds() / 60,
        }
        first = t - len(own) + 1
        wanted["overnight_gap"] = math.log(own[0]["open"] / rows[first - 1]["close"]) if first else 0.0
        wanted["lunch_gap"] = 0.0
        if len(own) > BARS // 2:
            wanted["lunch_gap"] = math.log(own[BARS // 2]["open"] / own[BARS // 2 - 1]["close"])
        same_time = list(range(t % BARS, t, BARS))
        if same_time:
            wanted["volume_to_time_of_day"] = row["volume"] / np.mean([rows[s]["volume"] for s in same_time])
        moves = [abs(math.log(rows[s]["close"] / rows[s - 1]["close"])) for s in same_time if s]
        if moves:
            own_move = math.log(row["close"] / rows[t - 1]["close"])
            wanted["return_to_time_of_day"] = own_move / np.mean(moves)
        for name in feature_set("intraday").columns:
            if name in wanted:
                assert math.isclose(mine[name], wanted[name], rel_tol=1e-9, abs_tol=1e-12), (t, name)
            else:
                assert mine[name] is None, (t, name)


def test_a_market_without_limits_or_phases_has_nulls_there() -> None:
    bars = minutes().with_columns(limit_up=None, limit_down=None, session_phase=pl.lit(None, pl.String))
    got = compute(bars, feature_set("intraday"), bars_per_year=YEAR).frame
    assert got["limit_up_distance"].null_count() == bars.height
    assert got["vwap_distance"].null_count() == 0
