from __future__ import annotations

from dataclasses import replace

import pytest

from nofx_pipelines.evaluation.evaluate import MetricValue
from tests.promotion.gates.evidence import GOOD, judged, outcome

NAME = "rank_ic_interval"


def test_the_lower_end_above_zero_passes() -> None:
    finding = judged(NAME)
    assert finding.passed
    assert (finding.value, finding.threshold) == (pytest.approx(0.03), 0.0)
    assert finding.reason == (
        "rank IC is +0.0500, 95% interval [+0.0300, +0.0700] over 100 sessions lies above 0"
    )


def test_an_interval_around_zero_fails() -> None:
    finding = judged(NAME, candidate=outcome(half_width=0.05))
    assert not finding.passed
    assert "does not lie above 0" in finding.reason


def test_over_time_is_named_so() -> None:
    assert judged(NAME, candidate=outcome(metric="rank_ic_time")).reason.startswith(
        "rank IC over time is +0.0500"
    )


def test_the_unknown_does_not_pass() -> None:
    finding = judged(NAME, candidate=outcome(rank_ic=None))
    assert (finding.value, finding.passed) == (None, False)
    assert finding.reason == "rank IC is unknown: 100 sessions are too few or constant"
    bare = replace(GOOD, metrics={**GOOD.metrics, "rank_ic": MetricValue(0.05, None, None, 8)})
    finding = judged(NAME, candidate=bare)
    assert not finding.passed
    assert finding.reason == "rank IC is +0.0500 but has no interval: 8 sessions are too few or constant"
