"""What is usual in a slot of the day over earlier sessions, and sums over the traded bars before.

Every window has a fixed length and is summed in one order, so a session's values do not depend on
how many sessions were read with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nofx_pipelines.anomaly.panel import Bools, Floats, Ints

_BLOCK = 4_000_000
"""Window entries sorted together, about."""
_SPREAD = 2 * 1.6448536269514722
"""Between the 5 % and the 95 % quantile of a standard normal."""


@dataclass(frozen=True)
class Lookback:
    """How far back conditions reach: ``sessions`` before each one, ``pool`` slots to either side."""

    sessions: int
    pool: int
    minimum: int
    """Values below which a window says nothing."""
    drift_bars: int
    """Bars of a drift."""
    volatility_bars: int
    """Bars of recent volatility."""
    span: int
    """Sessions within which the bars of one window must lie; longer silence leaves no value."""

    @classmethod
    def of(cls, freq: str) -> Lookback:
        """The lookback of a frequency.

        >>> Lookback.of("1d").sessions, Lookback.of("1m").sessions
        (60, 20)
        """
        if freq == "1d":
            return cls(sessions=60, pool=0, minimum=20, drift_bars=5, volatility_bars=10, span=30)
        return cls(sessions=20, pool=2, minimum=20, drift_bars=15, volatility_bars=30, span=3)

    @property
    def reach(self) -> int:
        """Sessions before a session that its conditioned features and their averages can depend on.

        The norm's window, and one span each for the close before, the volatility, the drift and the average.
        """
        return self.sessions + 4 * self.span


@dataclass(frozen=True, eq=False)
class Norm:
    """What is usual in each slot: ``center`` and ``scale`` ``[S, B, N]``, NaN where too little is known."""

    center: Floats
    scale: Floats


def usual(x: Floats, lookback: Lookback, *, floor: float) -> Norm:
    """Median and robust standard deviation (5 % to 95 % quantile) of earlier sessions.

    ``x`` is ``[S, B, N]``, NaN where unknown; a scale is at least ``floor``.
    """
    center, scale = np.full_like(x, np.nan), np.full_like(x, np.nan)
    sessions, slots, instruments = x.shape
    width = lookback.sessions * (2 * lookback.pool + 1)
    step = max(1, _BLOCK // max(1, width * slots * instruments))
    for first in range(0, sessions, step):
        last = min(first + step, sessions)
        windows = np.stack([_before(x, s, lookback) for s in range(first, last)])  # [s, W, B, N]
        windows.sort(axis=1)
        count = np.isfinite(windows).sum(axis=1)
        known = count >= lookback.minimum
        low, middle, high = (_quantile(windows, count, q) for q in (0.05, 0.5, 0.95))
        center[first:last] = np.where(known, middle, np.nan)
        scale[first:last] = np.where(known, np.maximum((high - low) / _SPREAD, floor), np.nan)
    return Norm(center, scale)


def _before(x: Floats, s: int, lookback: Lookback) -> Floats:
    """The values in the window before session ``s``, ``[W, B, N]``, padded with NaN."""
    _, slots, instruments = x.shape
    pool = lookback.pool
    span = np.full((lookback.sessions, slots + 2 * pool, instruments), np.nan)
    earlier = x[max(0, s - lookback.sessions) : s]
    span[lookback.sessions - len(earlier) :, pool : pool + slots] = earlier
    near = [span[:, k : k + slots] for k in range(2 * pool + 1)]
    return np.concatenate(near, axis=0)


def _quantile(ascending: Floats, count: Ints, q: float) -> Floats:
    """The ``q`` quantile along axis 1 of the first ``count`` values, linear between neighbours."""
    place = q * np.maximum(count - 1, 0)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    below = np.take_along_axis(ascending, low[:, None], axis=1)[:, 0]
    above = np.take_along_axis(ascending, high[:, None], axis=1)[:, 0]
    return np.asarray(below + (place - low) * (above - below))


@dataclass(frozen=True, eq=False)
class TradedBars:
    """Where each instrument's traded bars stand, so that "the bar before" is the last one that traded."""

    position: Ints
    """Number of each bar among its instrument's traded bars, -1 where nothing traded, ``[S, B, N]``."""
    session: Ints
    """Session of each traded bar, ``[T, N]``."""
    span: int

    @classmethod
    def of(cls, traded: Bools, span: int) -> TradedBars:
        """Of the bars that ``traded`` ``[S, B, N]``."""
        sessions, slots, instruments = traded.shape
        seen = traded.reshape(sessions * slots, instruments)
        position = np.where(seen, np.cumsum(seen, axis=0) - 1, -1)
        number = np.repeat(np.arange(sessions, dtype=np.int64), slots)
        session = np.zeros((int(position.max(initial=-1)) + 1, instruments), dtype=np.int64)
        when, who = np.nonzero(seen)
        session[position[when, who], who] = number[when]
        return cls(position.reshape(traded.shape), session, span)

    def pack(self, cube: Floats) -> Floats:
        """The traded bars of ``cube`` one after the other, ``[T, N]``, NaN behind each one's last."""
        packed = np.full(self.session.shape, np.nan)
        cells = self.position.reshape(math.prod(self.position.shape[:2]), self.session.shape[1])
        when, who = np.nonzero(cells >= 0)
        packed[cells[when, who], who] = cube.reshape(cells.shape)[when, who]
        return packed

    def unpack(self, packed: Floats) -> Floats:
        """The inverse of ``pack``, NaN where nothing traded."""
        cells = self.position.reshape(math.prod(self.position.shape[:2]), self.session.shape[1])
        cube = np.full(cells.shape, np.nan)
        when, who = np.nonzero(cells >= 0)
        cube[when, who] = packed[cells[when, who], who]
        return cube.reshape(self.position.shape)

    def before(self, cube: Floats, bars: int = 1) -> Floats:
        """The value ``bars`` traded bars earlier, NaN where that lies more than ``span`` sessions back."""
        packed = self.pack(cube)
        shifted = np.full_like(packed, np.nan)
        if len(packed) > bars:
            near = self.session[bars:] - self.session[:-bars] <= self.span
            shifted[bars:] = np.where(near, packed[:-bars], np.nan)
        return self.unpack(shifted)

    def weighted(self, cube: Floats, weights: Floats) -> Floats:
        """Sum over k of ``weights[k]`` times the value k traded bars earlier; unknown values count as 0.

        NaN where the window is not full within ``span`` sessions. Terms are added newest first.
        """
        packed = self.pack(cube)
        bars, length = len(packed), len(weights)
        total = np.full_like(packed, np.nan)
        if bars >= length:
            known = np.where(np.isfinite(packed), packed, 0.0)
            summed = np.zeros_like(packed[length - 1 :])
            for k, weight in enumerate(weights):
                summed += weight * known[length - 1 - k : bars - k]
            near = self.session[length - 1 :] - self.session[: bars - length + 1] <= self.span
            total[length - 1 :] = np.where(near, summed, np.nan)
        return self.unpack(total)
