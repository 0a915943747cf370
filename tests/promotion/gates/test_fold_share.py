from __future__ import annotations

from dataclasses import replace

import pytest

from tests.promotion.gates.evidence import CONFIG, judged

NAME = "fold_share"


@pytest.mark.parametrize(
    ("folds", "share", "passed", "counted"),
    [
        ([0.02, 0.03, -0.01, 0.04, 0.05], 0.8, True, "4 of 5 folds (80%)"),
        ([0.1, 0.1, 0.1, -0.1, -0.1], 0.6, True, "3 of 5 folds (60%)"),
        ([0.1, 0.1, -0.1, 0.0], 0.5, False, "2 of 4 folds (50%)"),
        ([None, None, 0.1], 1 / 3, False, "1 of 3 folds (33%)"),
    ],
)
def test_the_share_of_folds_with_skill_decides(
    folds: list[float | None], share: float, passed: bool, counted: str
) -> None:
    finding = judged(NAME, fold_rank_ics=folds)
    assert (finding.value, finding.threshold, finding.passed) == (pytest.approx(share), 0.6, passed)
    assert finding.reason == f"rank IC is above zero in {counted}, 60% are asked"


def test_the_configured_share_decides() -> None:
    assert not judged(NAME, replace(CONFIG, fold_share=0.9)).passed


def test_without_a_fold_nobody_passes() -> None:
    finding = judged(NAME, fold_rank_ics=[])
    assert (finding.value, finding.passed, finding.reason) == (None, False, "no fold has a rank IC")
