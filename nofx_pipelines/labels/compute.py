"""Labels of adjusted bars: forward return, triple barrier, weight, and when each became known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.labels.forward_return import forward_return
from nofx_pipelines.labels.triple_barrier import trailing_sigma, triple_barrier
from nofx_pipelines.labels.weights import average_uniqueness, concurrency
from nofx_pipelines.labels.windows import LabelWindows
from nofx_pipelines.lake.schemas import LABELS, UTC_US

_UNDECIDED = -1
"""Row number of the bar that decides a label which is not decided."""


def compute_labels(
    bars: pl.DataFrame,
    config: LabelConfig,
    *,
    known_until: datetime,
    windows: LabelWindows | None = None,
) -> pl.DataFrame:
    """Label every traded bar that closed by ``known_until``; what is not known by then is null.

    ``bars``: adjusted bars with instrument_id, ts_close, session_date, close and, when present, status
    and is_final (only final ``traded`` rows count). ``windows`` bounds labels and sigma in sessions (the
    pipeline's rule); without it they run over the instrument's traded bars however long these take.
    A row becomes known as a whole at ``known_at``, the close of the last bar of its horizon: barriers
    shown as they are touched would leave only the touched among the latest. barrier is null where sigma is
    unknown or zero. Returns rows of the LABELS table, sorted by its key.
    """
    sessions = bars["session_date"].unique().sort()
    traded = _traded(bars, known_until)
    session = sessions.search_sorted(traded["session_date"]).to_numpy().astype(np.int64)
    close = np.ascontiguousarray(traded["close"].to_numpy())
    columns = _Columns(len(traded))
    for first, last in _instruments(traded["instrument_id"]):
        part = slice(first, last)
        columns.fill(part, close[part], session[part], config, windows)
    return columns.frame(traded, config.horizon)


class _Columns:
    """The label columns of all instruments, filled one instrument at a time."""

    def __init__(self, size: int) -> None:
        self.forward = np.full(size, np.nan)
        self.side = np.zeros(size, dtype=np.int8)
        self.touch_row = np.full(size, _UNDECIDED, dtype=np.int64)
        self.known_row = np.full(size, _UNDECIDED, dtype=np.int64)
        self.weight = np.ones(size)

    def fill(
        self,
        part: slice,
        close: NDArray[np.float64],
        session: NDArray[np.int64],
        config: LabelConfig,
        windows: LabelWindows | None,
    ) -> None:
        """Label one instrument's bars, rows ``part`` of the frame."""
        horizon, row = config.horizon, np.arange(part.start, part.stop)
        decided = _within(session, horizon, windows.ahead if windows else None)
        width = trailing_sigma(close, config.sigma_bars) * (config.barrier_sigmas * np.sqrt(horizon))
        if windows:
            width[_takes_longer(session, config.sigma_bars, windows.back)] = np.nan
        side, touch_bars = triple_barrier(close, width, horizon)
        touched = decided & (touch_bars > 0)
        numbers, ahead = (session, windows.ahead) if windows else (None, 0)
        open_windows = concurrency(close.size, horizon, numbers, ahead)

        self.forward[part] = np.where(decided, forward_return(close, horizon), np.nan)
        self.known_row[part] = np.where(decided, row + horizon, _UNDECIDED)
        self.side[part] = side
        self.touch_row[part] = np.where(touched, row + touch_bars, _UNDECIDED)
        self.weight[part] = average_uniqueness(open_windows, horizon, numbers, ahead)

    def frame(self, traded: pl.DataFrame, horizon: int) -> pl.DataFrame:
        """The LABELS frame beside the traded bars that were labelled."""
        ts_close = traded["ts_close"]
        touch_ts = _gather(ts_close, self.touch_row)
        return traded.select(
            "instrument_id",
            "ts_close",
            pl.lit(horizon, dtype=pl.Int32).alias("horizon"),
            "session_date",
            pl.Series("forward_return", self.forward).fill_nan(None),
            pl.when(touch_ts.is_not_null()).then(pl.Series(self.side)).alias("barrier"),
            touch_ts.alias("barrier_ts"),
            pl.Series("weight", self.weight),
            _gather(ts_close, self.known_row).alias("known_at"),
        ).select(pl.col(name).cast(dtype) for name, dtype in LABELS.columns.items())


def _traded(bars: pl.DataFrame, known_until: datetime) -> pl.DataFrame:
    happened = pl.col("ts_close") <= pl.lit(known_until, dtype=UTC_US)
    traded = happened & pl.col("close").is_not_null()
    if "status" in bars.columns:
        traded &= pl.col("status") == "traded"
    if "is_final" in bars.columns:
        traded &= pl.col("is_final")
    columns = ("instrument_id", "ts_close", "session_date", "close")
    return bars.filter(traded).select(columns).sort("instrument_id", "ts_close")


def _instruments(ids: pl.Series) -> Iterator[tuple[int, int]]:
    """Row ranges of each instrument in a sorted column."""
    if ids.is_empty():
        return
    firsts = np.flatnonzero((ids != ids.shift(1)).fill_null(True).to_numpy())
    yield from zip(firsts.tolist(), [*firsts[1:].tolist(), len(ids)], strict=True)


def _within(session: NDArray[np.int64], horizon: int, ahead: int | None) -> NDArray[np.bool_]:
    """Rows that ``horizon`` further bars follow, within ``ahead`` sessions."""
    decided = np.zeros(session.size, dtype=np.bool_)
    if session.size > horizon:
        decided[:-horizon] = ahead is None or (session[horizon:] - session[:-horizon] <= ahead)
    return decided


def _takes_longer(session: NDArray[np.int64], bars: int, back: int) -> NDArray[np.bool_]:
    """Rows whose last ``bars`` returns take more than ``back`` sessions."""
    longer = np.zeros(session.size, dtype=np.bool_)
    if session.size > bars:
        longer[bars:] = session[bars:] - session[:-bars] > back
    return longer


def _gather(values: pl.Series, rows: NDArray[np.int64]) -> pl.Series:
    """``values`` at ``rows``, null at undecided ones."""
    index = pl.Series(rows)
    return values.gather(index.set(index == _UNDECIDED, None))
