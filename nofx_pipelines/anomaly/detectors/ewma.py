"""Exponentially weighted average of each feature's z: small shifts that last (Roberts 1959).

The average is cut off after ``BARS`` bars, so that a bar's value needs no state from before them; the
weights left out are below 2 %.
"""

from __future__ import annotations

import numpy as np

from nofx_pipelines.anomaly.panel import Floats
from nofx_pipelines.anomaly.windows import Tape

SMOOTHING = 0.2
BARS = 20
_CLIP = 6.0
"""One wild bar is the robust z's matter and must not raise the average for twenty bars."""


def weights() -> Floats:
    """The weights, newest first, scaled so that independent unit z give a unit average."""
    raw = SMOOTHING * (1 - SMOOTHING) ** np.arange(BARS)
    return np.asarray(raw / np.sqrt(np.square(raw).sum()))


def statistics(z: Floats, tape: Tape) -> Floats:
    """Signed averages ``[F, S, B, N]`` of ``z``, NaN where the bar's own z is unknown."""
    averaged = np.stack([tape.weighted(np.clip(cube, -_CLIP, _CLIP), weights()) for cube in z])
    return np.where(np.isfinite(z), averaged, np.nan)
