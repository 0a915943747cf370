"""The bars that a label may look at, cut so that it sees no others."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.labels.kinds.bar_path import COLUMNS, BarPath

Windows = NDArray[np.float64]


class LabelBars:
    """``N`` rows of one instrument, and the traded bars before and after each.

    >>> config = LabelConfig(horizon=2, sigma_bars=2)
    >>> bars = LabelBars.of(config, close=np.array([1.0, 2.0, 4.0, 8.0]))
    >>> bars.ahead("close").tolist()
    [[1.0, 2.0, 4.0], [2.0, 4.0, 8.0]]
    >>> bars.back("close").tolist()
    [[nan, nan, 1.0], [nan, 1.0, 2.0]]
    """

    def __init__(self, path: BarPath, first: int, stop: int) -> None:
        self._path, self._first, self._stop = path, first, stop

    @classmethod
    def of(cls, config: LabelConfig, **columns: NDArray[np.float64]) -> LabelBars:
        """All rows of an instrument with a bar a session that ``horizon`` further ones follow."""
        size = columns["close"].size
        return cls(BarPath(columns, config, np.arange(size)), 0, max(0, size - config.horizon))

    def __len__(self) -> int:
        return self._stop - self._first

    @property
    def instrument_id(self) -> str:
        """Whose bars they are."""
        return self._path.instrument_id

    def describe(self, row: int) -> str:
        """How a message names one of the ``N`` rows: the instrument, its bar's number and close."""
        return self._path.describe(self._first + row)

    @property
    def sigma(self) -> NDArray[np.float64]:
        """``[N]``, the sample standard deviation of the last ``sigma_bars`` log returns; NaN is unknown."""
        return self._path.sigma[self._first : self._stop].copy()

    def ahead(self, column: str) -> Windows:
        """``[N, 1 + horizon]``: the row's own bar and those after it.

        ``column`` is open, high, low, close or volume; prices and volume are adjusted. Each close is there.
        """
        horizon = self._path.config.horizon
        return _windows(self._column(column)[self._first : self._stop + horizon], horizon + 1)

    def back(self, column: str) -> Windows:
        """``[N, sigma_bars + 1]``: the bars before the row, oldest first, and its own.

        NaN stands for a bar before the instrument's first one, and for one that lies too many sessions back
        (a suspension).
        """
        bars = self._path.config.sigma_bars
        before = np.full(max(0, bars - self._first), np.nan)
        values = self._column(column)[max(0, self._first - bars) : self._stop]
        windows = _windows(np.concatenate([before, values]), bars + 1)
        rows = np.flatnonzero(self._path.reaches_too_far[self._first : self._stop])
        if rows.size:
            windows[rows] = np.where(self._path.not_seen(rows + self._first), np.nan, windows[rows])
        return windows

    def _column(self, name: str) -> NDArray[np.float64]:
        if name not in self._path.columns:
            # no error of ours: it is the kind's mistake, and becomes one that names the kind
            raise ValueError(
                f"it looks at {name}; the bars have {', '.join(self._path.columns)}: "
                f"name one of {', '.join(COLUMNS)}, and give compute_labels bars that have it"
            )
        return self._path.columns[name]


def _windows(values: NDArray[np.float64], width: int) -> Windows:
    if values.size < width:
        return np.empty((0, width))
    # each row in one piece: numpy then sums a row the same way whatever rows are beside it
    return np.array(sliding_window_view(values, width), order="C")
