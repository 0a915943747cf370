"""What a gate is asked, what it may look at and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nofx_pipelines.config import GateConfig
from nofx_pipelines.evaluation.evaluate import Evaluation


@dataclass(frozen=True)
class Evidence:
    """Everything that gates may look at; an evaluation has ``metrics``, ``sessions`` and ``equity``."""

    candidate: Evaluation
    incumbent: Evaluation | None
    """The reigning champion on the same test; None before the first one."""
    baseline: Evaluation
    fold_rank_ics: Sequence[float | None]
    """The candidate's rank IC in each fold's test, the hold-out included."""
    leak_passed: bool | None
    """None: the leak check did not run."""


@dataclass(frozen=True)
class Finding:
    """A gate's answer: its number, the threshold that held, whether it passed, and why in a sentence.

    An unknown number is None or NaN, and never passes. A gate without a number gives 1.0 or 0.0.
    """

    value: float | None
    threshold: float | None
    passed: bool
    reason: str


class Gate(Protocol):
    """A rule that a candidate passes or not."""

    def judge(self, evidence: Evidence, config: GateConfig) -> Finding:
        """Look at the evidence; thresholds and the seed are those of ``[universes.NAME.gates]``."""
