"""Each feature's distance from what was expected, in robust standard deviations."""

from __future__ import annotations

from nofx_pipelines.anomaly.conditioning import Conditioned
from nofx_pipelines.anomaly.panel import Floats


def statistics(conditioned: Conditioned) -> Floats:
    """Signed z ``[F, S, B, N]``; its size is what is calibrated.

    >>> import numpy as np
    >>> one = np.ones((8, 1, 1, 1))
    >>> float(statistics(Conditioned(3 * one, center=one, scale=0.5 * one, recent=0 * one))[0, 0, 0, 0])
    4.0
    """
    return conditioned.z
