from __future__ import annotations

import pytest

from tests.promotion.gates.evidence import judged


@pytest.mark.parametrize(
    ("leak_passed", "value", "reason"),
    [
        (True, 1.0, "nothing at or before the cut moved with the future"),
        (False, 0.0, "the leak check found a leak"),
        (None, None, "the leak check did not run"),
    ],
)
def test_only_a_check_that_passed_passes(leak_passed: bool | None, value: float | None, reason: str) -> None:
    finding = judged("leak_check", leak_passed=leak_passed)
    assert (finding.value, finding.threshold, finding.reason) == (value, 1.0, reason)
    assert finding.passed is (leak_passed is True)
