"""The candidate's active return is more than the luckiest of all trials would show."""

from __future__ import annotations

from nofx_pipelines.config import GateConfig
from nofx_pipelines.promotion.gates.gate import Evidence, Finding, Gate


class DeflatedSharpe:
    """The deflated Sharpe ratio reaches the probability that ``deflated_sharpe`` asks."""

    def judge(self, evidence: Evidence, config: GateConfig) -> Finding:
        """Compare the ratio with the threshold."""
        threshold, metric = config.deflated_sharpe, evidence.candidate.metrics["deflated_sharpe"]
        if metric.value is None:
            reason = f"the deflated Sharpe is unknown: {metric.n} sessions without a varying return"
            return Finding(None, threshold, False, reason)
        passed = metric.value >= threshold
        verb = "reaches" if passed else "does not reach"
        reason = f"deflated Sharpe {metric.value:.3f} over {metric.n} sessions {verb} {threshold:g}"
        return Finding(metric.value, threshold, passed, reason)


GATE: Gate = DeflatedSharpe()
