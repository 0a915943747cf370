"""The candidate ranks returns better than chance."""

from __future__ import annotations

from nofx_pipelines.config import GateConfig
from nofx_pipelines.promotion.gates.gate import Evidence, Finding, Gate
from nofx_pipelines.promotion.gates.interval import interval_above


class RankIcInterval:
    """The whole interval of the rank IC lies above zero."""

    def judge(self, evidence: Evidence, config: GateConfig) -> Finding:
        """Compare the interval's lower end with zero."""
        candidate = evidence.candidate
        label = "rank IC over time" if candidate.rank_ic_metric.endswith("_time") else "rank IC"
        return interval_above(candidate.rank_ic, 0.0, label, candidate.confidence)


GATE: Gate = RankIcInterval()
