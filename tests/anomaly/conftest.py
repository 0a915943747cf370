"""Bars for detectors: independent log-normal walks, with nothing odd about them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl
import pytest


@pytest.fixture(scope="session")
def make_bars() -> Callable[..., pl.DataFrame]:
    """Bars of ``sessions`` days (``slots`` minutes each; 1 is a daily bar) of ``instruments``."""

    def make(
        seed: int = 1, sessions: int = 120, instruments: int = 6, slots: int = 1, sigma: float = 0.02
    ) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        shape = (sessions, slots, instruments)
        market = rng.normal(size=(*shape[:2], 1))
        returns = sigma / np.sqrt(slots) * (0.5 * market + 0.85 * rng.normal(size=shape))
        close = 50 * np.exp(np.cumsum(returns.reshape(-1, instruments), axis=0)).reshape(shape)
        opening = close * np.exp(-0.7 * returns)
        reach = np.abs(rng.normal(size=(2, *shape))) * sigma / np.sqrt(slots) / 3
        volume = np.exp(12 + 0.4 * rng.normal(size=shape)).round()
        vwap = close * np.exp(0.2 * sigma / np.sqrt(slots) * rng.normal(size=shape))
        high = np.maximum(np.maximum(opening, close), vwap) * np.exp(reach[0])
        low = np.minimum(np.minimum(opening, close), vwap) * np.exp(-reach[1])
        days = [date(2023, 1, 2) + timedelta(days=k) for k in range(sessions)]
        start = [datetime.combine(day, time(1, 30), UTC) for day in days]
        minutes = [timedelta(minutes=b) for b in range(slots)]
        length = timedelta(minutes=1) if slots > 1 else timedelta(hours=5)
        cells = [(s, b, n) for s in range(sessions) for b in range(slots) for n in range(instruments)]
        opens = [start[s] + minutes[b] for s, b, _ in cells]
        return pl.DataFrame(
            {
                "instrument_id": [f"CN.SSE.{600000 + n}" for _, _, n in cells],
                "ts_open": opens,
                "ts_close": [moment + length for moment in opens],
                "session_date": [days[s] for s, _, _ in cells],
                "status": "traded",
                "price_basis": "unadjusted",
                "quality": [[]] * len(cells),
                "open": opening.ravel(),
                "high": high.ravel(),
                "low": low.ravel(),
                "close": close.ravel(),
                "volume": volume.ravel(),
                "amount": (volume * vwap).ravel(),
                "n_trades": np.round(volume / 300).ravel(),
                "limit_up": None,
                "limit_down": None,
            },
            schema_overrides={
                "ts_open": pl.Datetime("us", "UTC"),
                "ts_close": pl.Datetime("us", "UTC"),
                "limit_up": pl.Float64,
                "limit_down": pl.Float64,
                "quality": pl.List(pl.String),
            },
        )

    return make
