"""Exponentially weighted average of each feature's z: small shifts that last (Roberts 1959).

The average is cut off after ``BARS`` bars, so that a bar's value needs no state from before them; the
weights left out are below 2 %.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nofx_pipelines.anomaly.detectors.protocol import BarWindow, Detector, Statistic, by_feature
from nofx_pipelines.anomaly.panel import Floats
from nofx_pipelines.anomaly.windows import TradedBars

SMOOTHING = 0.2
BARS = 20
_CLIP = 6.0
"""One wild bar is the robust z's matter and must not raise the average for twenty bars."""


def weights() -> Floats:
    """The weights, newest first, scaled so that independent unit z give a unit average."""
    raw = SMOOTHING * (1 - SMOOTHING) ** np.arange(BARS)
    return np.asarray(raw / np.sqrt(np.square(raw).sum()))


def averages(z: Floats, traded_bars: TradedBars) -> Floats:
    """Signed averages ``[F, S, B, N]`` of ``z``, NaN where the bar's own z is unknown."""
    averaged = np.stack([traded_bars.weighted(np.clip(cube, -_CLIP, _CLIP), weights()) for cube in z])
    return np.where(np.isfinite(z), averaged, np.nan)


class Ewma:
    """The size of each feature's average; the reference's calibration is all that there is to learn."""

    statistics: tuple[Statistic, ...] = by_feature(type="collective")

    def fit(self, bars: BarWindow, reference: slice, seed: int) -> Ewma:
        """Itself."""
        return self

    def score(self, bars: BarWindow, span: slice) -> Floats:
        """The averages' sizes, ``[F, s, B, N]``."""
        # A full window lies within ``bars.span`` sessions, so what came before them changes no average.
        first = max(0, span.start - bars.span)
        part = slice(first, span.stop)
        traded_bars = TradedBars.of(bars.traded[part], bars.span)
        return np.abs(averages(bars.z[:, part], traded_bars)[:, span.start - first :])

    def parameters(self) -> dict[str, Any]:
        """The smoothing and where it is cut off."""
        return {"smoothing": SMOOTHING, "bars": BARS}


DETECTOR: Detector = Ewma()
