"""The candidate's skill holds in most folds, not in one lucky stretch."""

from __future__ import annotations

from nofx_pipelines.config import GateConfig
from nofx_pipelines.promotion.gates.gate import Evidence, Finding, Gate


class FoldShare:
    """The rank IC is above zero in at least ``fold_share`` of the folds; an unknown fold does not count."""

    def judge(self, evidence: Evidence, config: GateConfig) -> Finding:
        """Compare the share with the threshold."""
        folds, asked = evidence.fold_rank_ics, config.fold_share
        if not folds:
            return Finding(None, asked, False, "no fold has a rank IC")
        good = sum(ic is not None and ic > 0 for ic in folds)
        share = good / len(folds)
        reason = f"rank IC is above zero in {good} of {len(folds)} folds ({share:.0%}), {asked:.0%} are asked"
        return Finding(share, asked, share >= asked, reason)


GATE: Gate = FoldShare()
