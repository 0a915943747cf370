"""Who carries ``@champion`` and ``@challenger`` after a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nofx_pipelines.promotion.gates.decision import Verdict

CHAMPION = "champion"
CHALLENGER = "challenger"


class Aliases(Protocol):
    """The part of a model registry that a promotion touches."""

    def alias(self, model: str, alias: str) -> str | None:
        """The version that carries an alias, None when nobody does."""

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Give an alias to a version, taking it from whoever had it."""


@dataclass(frozen=True)
class Promotion:
    """What became of a candidate.

    ``champion`` is the version that reigns now, ``previous`` the one before; ``promoted`` tells that the
    candidate took the title by its gates, now or in an earlier run of the same decision.
    """

    champion: str
    previous: str
    promoted: bool
    moved: bool
    reason: str


def champion_or_baseline(registry: Aliases, model: str, baseline_version: str) -> str:
    """Who reigns: whoever carries ``@champion``, the baseline where nobody does."""
    return registry.alias(model, CHAMPION) or baseline_version


def crown_baseline(registry: Aliases, model: str, baseline_version: str) -> str:
    """Give ``@champion`` to the baseline if nobody has it, which is no promotion; returns the champion."""
    if registry.alias(model, CHAMPION) is None:
        registry.set_alias(model, CHAMPION, baseline_version)
    return champion_or_baseline(registry, model, baseline_version)


def promote(
    registry: Aliases, model: str, candidate_version: str, verdicts: Sequence[Verdict], baseline_version: str
) -> Promotion:
    """Move ``@champion`` to the candidate if every gate passed, else give it ``@challenger``.

    The baseline takes an empty throne first. Doing it again changes nothing. A champion that is judged
    again stays champion: only a better candidate replaces it.
    """
    reigning = crown_baseline(registry, model, baseline_version)
    failed = [verdict for verdict in verdicts if not verdict.passed]
    passed = bool(verdicts) and not failed
    if candidate_version == reigning:
        promoted = candidate_version != baseline_version
        return Promotion(reigning, reigning, promoted, False, f"version {reigning} is the champion already")
    if passed:
        registry.set_alias(model, CHAMPION, candidate_version)
        reason = f"all {len(verdicts)} gates passed: version {candidate_version} replaces version {reigning}"
        return Promotion(candidate_version, reigning, True, True, reason)
    moved = registry.alias(model, CHALLENGER) != candidate_version
    if moved:
        registry.set_alias(model, CHALLENGER, candidate_version)
    return Promotion(reigning, reigning, False, moved, _refusal(failed, verdicts, reigning))


def _refusal(failed: Sequence[Verdict], verdicts: Sequence[Verdict], reigning: str) -> str:
    if not verdicts:
        return f"no gate was asked: version {reigning} stays champion"
    why = "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in failed)
    return f"{len(failed)} of {len(verdicts)} gates failed, version {reigning} stays champion ({why})"
