"""Trades to bars, against a loop over all trades of an interval."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.features.streaming.feeds.entries import EntryRefused
from nofx_pipelines.features.streaming.feeds.trade_bars import TradeBars

MINUTE = 60_000_000


def random_trades(n: int = 400, seed: int = 0) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, 9 * MINUTE, n))
    return [
        {
            "instrument_id": f"I{rng.integers(3)}",
            "ts": int(ts),
            "price": float(np.round(10 + rng.normal(), 2)),
            "size": float(rng.integers(1, 50)),
            "side": str(rng.choice(["buy", "sell"])),
        }
        for ts in at
    ]


def test_every_closed_bar_is_what_its_trades_say() -> None:
    trades = random_trades()
    taker = TradeBars(1)
    bars = pl.concat([bar for bar in map(taker.take, trades) if bar.height])
    last = max(int(t["ts"]) for t in trades) // MINUTE  # type: ignore[call-overload]
    wanted = {(t["instrument_id"], int(t["ts"]) // MINUTE) for t in trades}  # type: ignore[call-overload]
    assert bars.height == len([w for w in wanted if w[1] < last])
    for bar in bars.iter_rows(named=True):
        minute = int(bar["ts_open"].timestamp() * 1e6) // MINUTE
        own = [
            t
            for t in trades
            if t["instrument_id"] == bar["instrument_id"] and int(t["ts"]) // MINUTE == minute
        ]  # type: ignore[call-overload]
        prices, sizes = [float(t["price"]) for t in own], [float(t["size"]) for t in own]  # type: ignore[arg-type]
        bought = sum(s for s, t in zip(sizes, own, strict=True) if t["side"] == "buy")
        assert (bar["open"], bar["close"], bar["high"], bar["low"]) == (
            prices[0],
            prices[-1],
            max(prices),
            min(prices),
        )
        assert (bar["volume"], bar["n_trades"], bar["taker_volume"]) == (sum(sizes), len(own), bought)
        assert bar["amount"] == pytest.approx(sum(p * s for p, s in zip(prices, sizes, strict=True)))


def test_open_bars_go_through_json() -> None:
    trades = random_trades(seed=1)
    whole, first, second = TradeBars(1), TradeBars(1), TradeBars(1)
    expected = [whole.take(t) for t in trades]
    got = [first.take(t) for t in trades[:150]]
    second.restore(json.loads(json.dumps(first.open_bars())))
    got += [second.take(t) for t in trades[150:]]
    assert all(a.equals(b) for a, b in zip(expected, got, strict=True))


def test_a_late_trade_within_the_grace_corrects_its_bar_and_a_later_one_is_refused() -> None:
    bars = TradeBars(1, grace_us=5_000_000)
    trade = {"instrument_id": "A", "ts": 3 * MINUTE - 10, "price": 2.0, "size": 1.0, "side": "buy"}
    bars.take(trade)
    assert bars.take(trade | {"ts": 3 * MINUTE + 2, "price": 3.0})["close"].to_list() == [2.0]
    late = bars.take(trade | {"ts": 3 * MINUTE - 1, "price": 5.0})
    assert late.select("open", "high", "low", "close", "n_trades").row(0) == (2.0, 5.0, 2.0, 5.0, 2)
    early = bars.take(trade | {"ts": 3 * MINUTE - 99, "price": 4.0})
    assert early.select("open", "close", "n_trades").row(0) == (4.0, 5.0, 3)
    first = bars.take(trade | {"instrument_id": "B", "ts": 3 * MINUTE - 1})
    assert first.select("instrument_id", "n_trades").row(0) == ("B", 1)
    bars.take(trade | {"ts": 3 * MINUTE + 5_000_001})
    with pytest.raises(EntryRefused, match="later than the grace of 5 s"):
        bars.take(trade)
    assert (bars.late, bars.corrections) == (1, 3)


def test_any_order_within_the_grace_ends_in_the_same_bars() -> None:
    trades = random_trades(seed=3)
    rng = np.random.default_rng(4)
    shuffled = sorted(trades, key=lambda t: int(t["ts"]) + int(rng.integers(0, 30_000_000)))  # type: ignore[call-overload]
    assert shuffled != trades

    def final(order: list[dict[str, object]]) -> pl.DataFrame:
        taker = TradeBars(1, grace_us=30_000_000)
        bars = pl.concat([bar for bar in map(taker.take, order) if bar.height])
        bars = bars.unique(["instrument_id", "ts_close"], keep="last", maintain_order=True)
        return bars.filter(pl.col("ts_close").dt.epoch("us") <= 7 * MINUTE).sort("instrument_id", "ts_close")

    one, other = final(trades), final(shuffled)
    exact = [
        "instrument_id",
        "ts_close",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "n_trades",
        "taker_volume",
    ]
    assert one.select(exact).equals(other.select(exact))


def test_a_bar_closes_by_the_clock() -> None:
    bars = TradeBars(1)
    trade = {"instrument_id": "A", "ts": 10, "price": 2.0, "size": 1.0, "side": "sell"}
    assert bars.due_us is None
    bars.take(trade)
    assert bars.due_us == MINUTE
    assert bars.close_due(MINUTE - 1).is_empty()
    assert bars.close_due(MINUTE)["volume"].to_list() == [1.0]
    assert bars.due_us is None
    assert bars.close_due(9 * MINUTE).is_empty()
    assert bars.take(trade | {"ts": 20})["volume"].to_list() == [2.0]
    assert bars.take(trade | {"ts": MINUTE + 1}).is_empty()
    assert bars.close_due(2 * MINUTE)["volume"].to_list() == [1.0]


@pytest.mark.parametrize("side", [None, "", "unknown"])
def test_a_trade_without_a_side_is_no_sale(side: str | None) -> None:
    bars = TradeBars(1)
    trade = {"instrument_id": "A", "ts": 10, "price": 2.0, "size": 1.0, "side": side}
    bars.take(trade | {"side": "BUY"})
    bars.take(trade)
    closed = bars.take(trade | {"ts": MINUTE, "side": "sell"})
    assert closed.select("volume", "taker_volume", "taker_amount").row(0) == (2.0, None, None)
    known = bars.take(trade | {"ts": 2 * MINUTE})
    assert known["taker_volume"].to_list() == [0.0]
