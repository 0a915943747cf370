"""A gate as ``nofx.toml`` names it: one that cannot judge is an error, never a pass."""

from __future__ import annotations

import copy
import math
import sys
from dataclasses import dataclass
from typing import Any

from nofx_pipelines.config import GateConfig
from nofx_pipelines.plugins import Reference
from nofx_pipelines.promotion.gates.gate import Evidence, Finding, Gate


@dataclass(frozen=True)
class CheckedGate:
    """A gate whose answers are checked; PluginError names it."""

    reference: Reference
    gate: Gate

    @classmethod
    def load(cls, reference: Reference) -> CheckedGate:
        """The gate of a reference; PluginError where it is none."""
        member = reference.load()
        reference.require(member, "judge(evidence, config)")
        return cls(reference, member)

    @property
    def name(self) -> str:
        """As ``nofx.toml`` writes it."""
        return self.reference.name

    def judge(self, evidence: Evidence, config: GateConfig) -> Finding:
        """The gate's answer, NaN as None; PluginError where it gives none that counts."""
        own = copy.deepcopy(evidence)  # what a gate does to its evidence, no other gate and no table sees
        with self.reference.guard("judging a candidate"):
            finding = self.gate.judge(own, config)
            problem = _problem(finding)
            if problem is not None:
                raise self.reference.refuse(problem)
            numbers = _known(finding.value), _known(finding.threshold)
            return Finding(*numbers, bool(finding.passed), str(finding.reason))


def _problem(finding: Any) -> str | None:
    """What keeps an answer from being one."""
    if not isinstance(finding, Finding):
        return f"answered with a {type(finding).__name__}, not a Finding"
    answer: Any = finding
    for name, number in (("value", answer.value), ("threshold", answer.threshold)):
        if not _is_number(number):
            if type(number) is int:
                return f"answered {name} with a whole number of {number.bit_length()} bits: no float holds it"
            return f"answered {name} = {number!r}: write float(…), or None for the unknown"
    if not isinstance(answer.passed, bool):
        return f"answered passed = {answer.passed!r}: write bool(…)"
    if answer.passed and (answer.value is None or not math.isfinite(answer.value)):
        return f"passed a candidate with value = {answer.value}: an unknown number never passes"
    if not isinstance(answer.reason, str) or not answer.reason.strip():
        return f"answered reason = {answer.reason!r}: it is a sentence"
    return None


def _is_number(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) <= sys.float_info.max


def _known(number: float | None) -> float | None:
    """The number as a table holds it: NaN is unknown."""
    return None if number is None or math.isnan(number) else float(number)
