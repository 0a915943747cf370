from __future__ import annotations

from dataclasses import replace

import pytest

from tests.promotion.gates.evidence import CONFIG, judged, outcome

NAME = "deflated_sharpe"


@pytest.mark.parametrize(
    ("ratio", "asked", "passed"), [(0.97, 0.95, True), (0.95, 0.95, True), (0.9499, 0.95, False)]
)
def test_the_configured_probability_decides(ratio: float, asked: float, passed: bool) -> None:
    finding = judged(NAME, replace(CONFIG, deflated_sharpe=asked), candidate=outcome(deflated=ratio))
    assert (finding.value, finding.threshold, finding.passed) == (ratio, asked, passed)
    verb = "reaches" if passed else "does not reach"
    assert finding.reason == f"deflated Sharpe {ratio:.3f} over 100 sessions {verb} {asked:g}"


def test_the_unknown_does_not_pass() -> None:
    finding = judged(NAME, candidate=outcome(deflated=None))
    assert not finding.passed
    assert finding.reason == "the deflated Sharpe is unknown: 100 sessions without a varying return"
