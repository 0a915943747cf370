"""Bars and paths that the label tests share."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import strategies as st

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.lake.schemas import BARS

FIRST_DAY = date(2024, 1, 1)
LONG_AFTER = datetime(2100, 1, 1, tzinfo=UTC)


def daily_bars(closes: dict[str, list[float | None]], *, first: date = FIRST_DAY) -> pl.DataFrame:
    """One bar a calendar day and instrument, closed at 16:00 UTC; None is a day without a trade."""
    rows = []
    for instrument, path in closes.items():
        for number, close in enumerate(path):
            day = first + timedelta(days=number)
            ts_close = datetime.combine(day, time(16), UTC)
            rows.append((instrument, ts_close, day, close, "traded" if close is not None else "suspended"))
    return _frame(rows)


def intraday_bars(closes: list[float | None], bars_per_session: int, instrument: str = "A") -> pl.DataFrame:
    """Minute bars from 10:00 UTC, ``bars_per_session`` a calendar day."""
    rows = []
    for number, close in enumerate(closes):
        day = FIRST_DAY + timedelta(days=number // bars_per_session)
        minute = timedelta(minutes=1 + number % bars_per_session)
        ts_close = datetime.combine(day, time(10), UTC) + minute
        rows.append((instrument, ts_close, day, close, "traded" if close is not None else "no_trade"))
    return _frame(rows)


def _frame(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    schema = {
        "instrument_id": pl.String,
        "ts_close": pl.Datetime("us", "UTC"),
        "session_date": pl.Date,
        "close": pl.Float64,
        "status": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def random_walk(seed: int, bars: int, sigma: float = 0.02) -> list[float]:
    """Closes of a geometric random walk from 100."""
    steps = np.random.default_rng(seed).normal(0, sigma, bars)
    return [float(x) for x in 100 * np.exp(np.cumsum(steps))]


def paths(min_size: int = 1, max_size: int = 40) -> st.SearchStrategy[list[float]]:
    """Closes that repeat, jump and stand still."""
    price = st.one_of(st.sampled_from([90.0, 100.0, 110.0]), st.floats(1.0, 1e4))
    return st.lists(price, min_size=min_size, max_size=max_size)


def table_bars(bars: pl.DataFrame, minutes: int = 1) -> pl.DataFrame:
    """Rows of the bars table made of the columns of ``daily_bars`` or ``intraday_bars``."""
    known_columns = {
        "ts_open": pl.col("ts_close") - timedelta(minutes=minutes),
        "freq": pl.lit("1d"),
        "session_phase": pl.lit("all"),
        "open": pl.col("close"),
        "high": pl.col("close"),
        "low": pl.col("close"),
        "volume": pl.lit(1000.0),
        "price_basis": pl.lit("unadjusted"),
        "is_final": pl.lit(value=True),
        "quality": pl.lit([], dtype=pl.List(pl.String)),
        "source": pl.lit("test"),
        "revision": pl.lit(0, dtype=pl.Int32),
        "knowledge_time": pl.col("ts_close"),
    }
    filled = bars.with_columns(**{n: e for n, e in known_columns.items() if n not in bars.columns})
    absent = [
        pl.lit(None, dtype=dtype).alias(n) for n, dtype in BARS.columns.items() if n not in filled.columns
    ]
    return filled.with_columns(absent).select(list(BARS.columns))


def write_kind(folder: Path, labelled: str) -> LabelConfig:
    """A kind of one file that answers ``labelled``."""
    (folder / "mine.py").write_text(
        "import numpy as np\n"
        "from nofx_pipelines.labels.kinds import Labelled\n"
        "class Mine:\n"
        "    def label(self, bars, config):\n"
        "        n = len(bars)\n"
        f"        return {labelled}\n"
        "LABEL = Mine()\n"
    )
    return LabelConfig(kind="mine:LABEL", horizon=2, sigma_bars=2)
