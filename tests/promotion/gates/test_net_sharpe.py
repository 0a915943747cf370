from __future__ import annotations

import pytest

from tests.promotion.gates.evidence import judged, outcome

NAME = "net_sharpe"


@pytest.mark.parametrize(("theirs", "passed"), [(1.0, True), (1.999, True), (2.0, False), (3.0, False)])
def test_more_than_the_baseline_passes(theirs: float, passed: bool) -> None:
    finding = judged(NAME, baseline=outcome(sharpe=theirs))
    assert (finding.value, finding.threshold, finding.passed) == (2.0, theirs, passed)
    verb = "is above" if passed else "is not above"
    assert finding.reason == f"net Sharpe 2.00 {verb} the baseline's {theirs:.2f}"


@pytest.mark.parametrize("whose", ["candidate", "baseline"])
def test_the_unknown_does_not_pass(whose: str) -> None:
    finding = judged(NAME, **{whose: outcome(sharpe=None)})
    assert not finding.passed
    assert finding.reason == f"the {whose}'s net Sharpe is unknown: its portfolio never varied"
