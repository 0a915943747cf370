from __future__ import annotations

import pytest

from nofx_pipelines.evaluation.evaluate import MetricValue
from nofx_pipelines.promotion.gates import interval_above


@pytest.mark.parametrize(("threshold", "passed"), [(0.0, True), (0.0299, True), (0.03, False), (0.04, False)])
def test_the_lower_end_must_exceed_the_threshold(threshold: float, passed: bool) -> None:
    finding = interval_above(MetricValue(0.05, 0.03, 0.07, 40), threshold, "edge", 0.9)
    assert (finding.value, finding.threshold, finding.passed) == (0.03, threshold, passed)
    verb = "lies above" if passed else "does not lie above"
    assert finding.reason == (
        f"edge is +0.0500, 90% interval [+0.0300, +0.0700] over 40 sessions {verb} {threshold:g}"
    )


@pytest.mark.parametrize(
    "metric",
    [MetricValue(None, None, None, 3), MetricValue(0.05, None, 0.07, 3), MetricValue(0.05, 0.03, None, 3)],
)
def test_without_an_interval_nobody_passes(metric: MetricValue) -> None:
    finding = interval_above(metric, -1.0, "edge", 0.95)
    assert (finding.value, finding.passed) == (None, False)
    assert "3 sessions are too few or constant" in finding.reason
