"""Nothing that the candidate was made from knew the future."""

from __future__ import annotations

from nofx_pipelines.config import GateConfig
from nofx_pipelines.promotion.gates.gate import Evidence, Finding, Gate

_THRESHOLD = 1.0


class LeakCheck:
    """The leak check ran and found nothing that moves with the future."""

    def judge(self, evidence: Evidence, config: GateConfig) -> Finding:
        """Pass where it passed."""
        if evidence.leak_passed is None:
            return Finding(None, _THRESHOLD, False, "the leak check did not run")
        passed = evidence.leak_passed is True
        reason = (
            "nothing at or before the cut moved with the future" if passed else "the leak check found a leak"
        )
        return Finding(float(passed), _THRESHOLD, passed, reason)


GATE: Gate = LeakCheck()
