"""The size of each feature's z."""

from __future__ import annotations

import numpy as np

from nofx_pipelines.anomaly.conditioning import NAMES
from nofx_pipelines.anomaly.detectors.protocol import BarWindow
from nofx_pipelines.anomaly.detectors.robust_z import DETECTOR


def test_far_below_is_as_odd_as_far_above() -> None:
    z = np.zeros((len(NAMES), 6, 1, 2))
    z[2, 5, 0] = (-4.0, 4.0)
    z[3, 5] = np.nan
    bars = BarWindow.of_features(z)
    scores = DETECTOR.fit(bars, slice(0, 5), 1).score(bars, slice(5, 6))
    assert scores.shape == (len(NAMES), 1, 1, 2)
    assert scores[2].tolist() == [[[4.0, 4.0]]]
    assert np.isnan(scores[3]).all()
