"""The candidate earns more for its risk, after costs, than the baseline."""

from __future__ import annotations

from nofx_pipelines.config import GateConfig
from nofx_pipelines.promotion.gates.gate import Evidence, Finding, Gate


class NetSharpe:
    """The net Sharpe ratio exceeds the baseline's."""

    def judge(self, evidence: Evidence, config: GateConfig) -> Finding:
        """Compare the two ratios."""
        ours, theirs = (e.metrics["sharpe"].value for e in (evidence.candidate, evidence.baseline))
        if ours is None or theirs is None:
            whose = "candidate" if ours is None else "baseline"
            reason = f"the {whose}'s net Sharpe is unknown: its portfolio never varied"
            return Finding(ours, theirs, False, reason)
        passed = ours > theirs
        verb = "is above" if passed else "is not above"
        return Finding(ours, theirs, passed, f"net Sharpe {ours:.2f} {verb} the baseline's {theirs:.2f}")


GATE: Gate = NetSharpe()
