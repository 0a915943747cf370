"""One instrument's traded bars, and how far a label of theirs may look."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.labels.kinds.trailing_sigma import trailing_sigma

COLUMNS = ("open", "high", "low", "close", "volume")
"""What a label may be made of; prices and volume are adjusted."""


@dataclass(frozen=True, eq=False)
class BarPath:
    """``T`` bars, oldest first; ``columns``: those of `COLUMNS` that are known, close among them."""

    columns: Mapping[str, NDArray[np.float64]]
    config: LabelConfig
    session: NDArray[np.int64]
    """``[T]``, the running number of each bar's session."""
    sessions_back: float = math.inf
    """Bars more sessions back than this are not seen."""
    instrument_id: str = "an instrument"
    ts_close: NDArray[np.datetime64] | None = None
    """``[T]``, for messages: labels are not made of it."""

    @cached_property
    def reaches_too_far(self) -> NDArray[np.bool_]:
        """``[T]``: whether the oldest bar that a row would look back on is not seen."""
        oldest = np.maximum(np.arange(self.session.size) - self.config.sigma_bars, 0)
        return self._too_far(self.session[oldest], self.session)

    @cached_property
    def sigma(self) -> NDArray[np.float64]:
        """``[T]``: of the last ``sigma_bars`` log returns; NaN where they are not all there to see."""
        sigma = trailing_sigma(self.columns["close"], self.config.sigma_bars)
        sigma[self.reaches_too_far] = np.nan
        return sigma

    def describe(self, row: int) -> str:
        """How a message names a bar.

        >>> BarPath({}, LabelConfig(), np.zeros(9, dtype=np.int64), instrument_id="CN.SSE.600519").describe(3)
        'CN.SSE.600519, row 3'
        """
        closed = "" if self.ts_close is None else f", bar that closed at {self.ts_close[row]} UTC"
        return f"{self.instrument_id}, row {row}{closed}"

    def not_seen(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """``[rows, sigma_bars + 1]``: which of the bars before each row lie too many sessions back."""
        bars = np.maximum(rows[:, None] + np.arange(-self.config.sigma_bars, 1), 0)
        return self._too_far(self.session[bars], self.session[rows, None])

    def _too_far(self, before: NDArray[np.int64], own: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(own - before > self.sessions_back)
