"""Bars for the leak check's tests."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl

FIRST_DAY = date(2024, 1, 1)


def daily(instruments: int = 8, sessions: int = 120, seed: int = 0) -> pl.DataFrame:
    """Random-walk daily bars of ``I00`` .. with every column that the perturbation knows."""
    return intraday(instruments, sessions, 1, seed)


def intraday(instruments: int, sessions: int, bars_per_session: int, seed: int = 0) -> pl.DataFrame:
    """Random-walk minute bars from 10:00 UTC."""
    rng = np.random.default_rng(seed)
    size = sessions * bars_per_session
    opens = [
        datetime.combine(FIRST_DAY + timedelta(days=n // bars_per_session), time(10), UTC)
        + timedelta(minutes=n % bars_per_session)
        for n in range(size)
    ]
    frames = []
    for number in range(instruments):
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, size)))
        frames.append(
            pl.DataFrame(
                {
                    "instrument_id": f"I{number:02}",
                    "ts_open": opens,
                    "ts_close": [ts + timedelta(minutes=1) for ts in opens],
                    "session_date": [ts.date() for ts in opens],
                    "open": close * 0.99,
                    "high": close * 1.01,
                    "low": close * 0.98,
                    "close": close,
                    "volume": rng.lognormal(10, 0.5, size),
                    "amount": rng.lognormal(15, 0.5, size),
                    "n_trades": rng.integers(1, 1000, size),
                    "status": "traded",
                }
            )
        )
    times = {name: pl.Datetime("us", "UTC") for name in ("ts_open", "ts_close")}
    return pl.concat(frames).cast(times)  # type: ignore[arg-type]


def with_every_column(bars: pl.DataFrame) -> pl.DataFrame:
    """Bars with every column that a feature set may read."""
    number = pl.col("instrument_id").str.slice(-1).cast(pl.Int64)
    return bars.with_columns(
        prev_close=pl.col("close").shift(1).over("instrument_id"),
        limit_up=pl.col("close") * 1.1,
        limit_down=pl.col("close") * 0.9,
        taker_volume=pl.col("volume") * 0.4,
        taker_amount=pl.col("amount") * 0.41,
        funding_rate=pl.col("open") * 1e-5,
        index_price=pl.col("close") * (1 + pl.col("volume").log() / 1e4),
        sector=pl.when(number % 2 == 0).then(pl.lit("bank")).otherwise(pl.lit("food")),
        board=pl.lit("main"),
        session_phase=pl.when(pl.col("volume") > 3e4)
        .then(pl.lit("open_auction"))
        .otherwise(pl.lit("continuous")),
    )
