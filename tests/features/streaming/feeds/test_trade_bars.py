"""Trades to bars, against a loop over all trades of an interval."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

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


def test_a_trade_of_a_closed_interval_is_refused() -> None:
    bars = TradeBars(1)
    trade = {"instrument_id": "A", "ts": 3 * MINUTE, "price": 1.0, "size": 1.0}
    bars.take(trade)
    with pytest.raises(ValueError, match="after its bar was closed"):
        bars.take(trade | {"ts": MINUTE})
