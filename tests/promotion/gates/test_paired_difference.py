from __future__ import annotations

import pytest

from nofx_pipelines.evaluation.evaluate import Evaluation
from tests.promotion.gates.evidence import judged, outcome

NAME = "paired_difference"


def test_a_candidate_above_the_champion_passes() -> None:
    finding = judged(NAME)
    assert finding.passed
    assert finding.value == pytest.approx(0.02)
    assert finding.reason.startswith("rank IC less the champion's, session by session, is +0.0200")


@pytest.mark.parametrize(
    ("incumbent", "reason"),
    [
        (outcome(rank_ic=0.05), "is 0 throughout: the same scores, nothing to replace"),
        (outcome(rank_ic=0.06), "is -0.0100"),
        (outcome(rank_ic=None), "is unknown: 0 sessions"),
        (outcome(metric="rank_ic_time"), "rank_ic cannot be compared with the champion's rank_ic_time"),
    ],
)
def test_no_better_or_not_comparable_fails(incumbent: Evaluation, reason: str) -> None:
    finding = judged(NAME, incumbent=incumbent)
    assert not finding.passed
    assert reason in finding.reason


def test_before_the_first_champion_the_baseline_is_the_rival() -> None:
    finding = judged(NAME, incumbent=None)
    assert finding.passed
    assert "there is no champion yet" in finding.reason
    assert not judged(NAME, incumbent=None, baseline=outcome(rank_ic=0.06)).passed
