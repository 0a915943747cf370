"""Each feature's distance from what was expected, in robust standard deviations."""

from __future__ import annotations

from typing import Any

import numpy as np

from nofx_pipelines.anomaly.detectors.protocol import BarWindow, Detector, Statistic, by_feature
from nofx_pipelines.anomaly.panel import Floats


class RobustZ:
    """The size of each feature's z; the reference's calibration is all that there is to learn."""

    statistics: tuple[Statistic, ...] = by_feature()

    def fit(self, bars: BarWindow, reference: slice, seed: int) -> RobustZ:
        """Itself."""
        return self

    def score(self, bars: BarWindow, span: slice) -> Floats:
        """|z|, ``[F, s, B, N]``."""
        return np.abs(bars.z[:, span])

    def parameters(self) -> dict[str, Any]:
        """None."""
        return {}


DETECTOR: Detector = RobustZ()
