"""Labels of adjusted bars: value, side, weight, and when each became known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.labels.kinds import CheckedLabel, LabelBars, Labelled, use_label
from nofx_pipelines.labels.kinds.bar_path import COLUMNS, BarPath
from nofx_pipelines.labels.weights import average_uniqueness, concurrency
from nofx_pipelines.labels.windows import LabelWindows
from nofx_pipelines.lake.schemas import LABELS, UTC_US

_UNDECIDED = -1
"""Row number of the bar that decides a label which is not decided."""
_BLOCK = 1 << 18
"""Bars in the windows that are labelled at once, about; memory is bounded by it."""


def compute_labels(
    bars: pl.DataFrame,
    config: LabelConfig,
    *,
    known_until: datetime,
    windows: LabelWindows | None = None,
    folder: Path | None = None,
) -> pl.DataFrame:
    """Label every traded bar that closed by ``known_until``; what is not known by then is null.

    A row becomes known as a whole at ``known_at``, the close of the last bar of its horizon: sides shown as
    they are decided would leave only the decided among the latest. The kind of label sees, of each row,
    ``sigma_bars`` bars before it and ``horizon`` after it, and only rows that so many follow.

    Parameters
    ----------
    bars
        Adjusted bars with instrument_id, ts_close, session_date, close and, when present, open, high, low,
        volume, status and is_final (only final ``traded`` rows count).
    config
        The kind of label and its settings.
    known_until
        Bars that closed later are left out.
    windows
        Bounds in sessions (the pipeline's rule): a label whose horizon takes longer is null, and bars
        further back are not seen. Without it labels run over the instrument's traded bars however long
        these take.
    folder
        The home's folder of plug-ins.

    Returns
    -------
    polars.DataFrame
        Rows of the LABELS table, sorted by its key. ``forward_return`` is the kind's value, ``barrier`` its
        side; null where unknown.

    Raises
    ------
    PluginError
        For a plug-in that raises or gives no labels of these rows.
    """
    kind = use_label(config.kind, folder)
    sessions = bars["session_date"].unique().sort()
    traded = _traded(bars, known_until)
    session = sessions.search_sorted(traded["session_date"]).to_numpy().astype(np.int64)
    numbers = {name: traded[name].to_numpy() for name in COLUMNS if name in traded.columns}
    closes, ids = traded["ts_close"].to_numpy(), traded["instrument_id"]
    sessions_back = math.inf if windows is None else windows.back
    columns = _Columns(len(traded))
    for first, last in _instruments(ids):
        part = slice(first, last)
        own = {name: values[part] for name, values in numbers.items()}
        path = BarPath(own, config, session[part], sessions_back, ids[first], closes[part])
        columns.fill(part, path, kind, windows)
    return columns.frame(traded, config.horizon)


class _Columns:
    """The label columns of all instruments, filled one instrument at a time."""

    def __init__(self, size: int) -> None:
        self.value = np.full(size, np.nan)
        self.side = np.zeros(size, dtype=np.int8)
        self.touch_row = np.full(size, _UNDECIDED, dtype=np.int64)
        self.known_row = np.full(size, _UNDECIDED, dtype=np.int64)
        self.weight = np.ones(size)

    def fill(self, part: slice, path: BarPath, kind: CheckedLabel, windows: LabelWindows | None) -> None:
        """Label one instrument's bars, rows ``part`` of the frame."""
        horizon, session = path.config.horizon, path.session
        decided = _within(session, horizon, windows.ahead if windows else None)
        row = np.arange(part.start, part.stop)
        self.known_row[part] = np.where(decided, row + horizon, _UNDECIDED)
        numbers, ahead = (session, windows.ahead) if windows else (None, 0)
        open_windows = concurrency(session.size, horizon, numbers, ahead)
        self.weight[part] = average_uniqueness(open_windows, horizon, numbers, ahead)
        for first, stop in _blocks(session.size - horizon, horizon + path.config.sigma_bars + 1):
            labelled = kind.label(LabelBars(path, first, stop), path.config)
            self._put(slice(part.start + first, part.start + stop), labelled, decided[first:stop])

    def _put(self, part: slice, labelled: Labelled, decided: NDArray[np.bool_]) -> None:
        """Take over the labels of rows ``part`` of the frame, those that are decided."""
        self.value[part] = np.where(decided, labelled.value, np.nan)
        if labelled.side is None or labelled.touch is None:
            return
        self.side[part] = labelled.side
        touched = decided & (labelled.touch > 0)
        row = np.arange(part.start, part.stop)
        self.touch_row[part] = np.where(touched, row + labelled.touch, _UNDECIDED)

    def frame(self, traded: pl.DataFrame, horizon: int) -> pl.DataFrame:
        """The LABELS frame beside the traded bars that were labelled."""
        ts_close = traded["ts_close"]
        touch_ts = _gather(ts_close, self.touch_row)
        return traded.select(
            "instrument_id",
            "ts_close",
            pl.lit(horizon, dtype=pl.Int32).alias("horizon"),
            "session_date",
            pl.Series("forward_return", self.value).fill_nan(None),
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
    columns = ["instrument_id", "ts_close", "session_date"]
    numbers = [pl.col(name).cast(pl.Float64) for name in COLUMNS if name in bars.columns]
    return bars.filter(traded).select(*columns, *numbers).sort("instrument_id", "ts_close")


def _blocks(rows: int, width: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose windows of ``width`` bars fit in a block."""
    size = max(1, _BLOCK // width)
    for first in range(0, rows, size):
        yield first, min(first + size, rows)


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


def _gather(values: pl.Series, rows: NDArray[np.int64]) -> pl.Series:
    """``values`` at ``rows``, null at undecided ones."""
    index = pl.Series(rows)
    return values.gather(index.set(index == _UNDECIDED, None))
