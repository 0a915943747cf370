"""The candidate ranks returns better than who reigns, on the same sessions."""

from __future__ import annotations

from nofx_pipelines.config import GateConfig
from nofx_pipelines.evaluation.evaluate import paired_difference
from nofx_pipelines.promotion.gates.gate import Evidence, Finding, Gate
from nofx_pipelines.promotion.gates.interval import interval_above

_THRESHOLD = 0.0


class PairedDifference:
    """The whole interval of the paired rank IC difference to the champion lies above zero.

    Without a champion the candidate is compared with the baseline. One that scores as the champion does (the
    same model, trained again) does not replace it.
    """

    def judge(self, evidence: Evidence, config: GateConfig) -> Finding:
        """Compare the interval's lower end with zero."""
        candidate, rival, name = evidence.candidate, evidence.incumbent, "the champion's"
        if rival is None:
            rival, name = evidence.baseline, "the baseline's (there is no champion yet)"
        if rival.rank_ic_metric != candidate.rank_ic_metric:
            reason = f"{candidate.rank_ic_metric} cannot be compared with {name} {rival.rank_ic_metric}"
            return Finding(None, _THRESHOLD, False, reason)
        difference = paired_difference(candidate, rival)
        label = f"rank IC less {name}, session by session,"
        if difference.value == difference.lo == difference.hi == 0.0:
            reason = f"{label} is 0 throughout: the same scores, nothing to replace"
            return Finding(0.0, _THRESHOLD, False, reason)
        return interval_above(difference, _THRESHOLD, label, candidate.confidence)


GATE: Gate = PairedDifference()
