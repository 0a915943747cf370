"""Random-walk bars of a given shape, for benchmarks that need rows and no market."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl


def random_walks(instruments: int, bars: int, *, seed: int = 7, minutes: bool = False) -> pl.DataFrame:
    """Bars ``[instruments * bars]`` by instrument and time, with the columns that features read, a day
    apart; a minute where asked or beyond 20,000."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (instruments, bars)), axis=1))
    opened = close * np.exp(rng.normal(0, 0.003, close.shape))
    spread = np.abs(rng.normal(0, 0.004, (2, *close.shape)))
    high, low = np.maximum(opened, close) * (1 + spread[0]), np.minimum(opened, close) * (1 - spread[1])
    volume = np.round(rng.lognormal(11, 0.6, close.shape))
    first = datetime(1970, 1, 5, 7, tzinfo=UTC)
    days = [first + timedelta(days=n) for n in range(bars)] if bars <= 20_000 and not minutes else None
    times = days or [first + timedelta(minutes=n) for n in range(bars)]
    sessions = [date.fromordinal(moment.date().toordinal()) for moment in times]
    shape = {"instrument_id": np.repeat([f"I{n:04}" for n in range(instruments)], bars)}
    values = {
        "open": opened, "high": high, "low": low, "close": close, "volume": volume, "amount": volume * close,
    }  # fmt: skip
    frame = pl.DataFrame({**shape, **{name: array.ravel() for name, array in values.items()}})
    clock = pl.DataFrame({"ts_close": times, "session_date": sessions})
    clock = clock.cast({"ts_close": pl.Datetime("us", "UTC")})
    return frame.hstack(pl.concat([clock] * instruments)).with_columns(status=pl.lit("traded"))
