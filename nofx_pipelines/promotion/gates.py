"""The gates that a candidate passes before it takes ``@champion``: data, and one rule function each.

A gate compares one number with one threshold; an unknown number never passes. To add a gate, write a rule
and add a ``Gate`` to ``standard_gates``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from nofx_pipelines.config import GateConfig
from nofx_pipelines.evaluation.evaluate import Evaluation, MetricValue, paired_difference
from nofx_pipelines.lake.schemas import GATES


@dataclass(frozen=True)
class Evidence:
    """Everything that the gates may look at."""

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
    """What a rule saw: its number, the threshold that held, whether it passed, and why in a sentence."""

    value: float | None
    threshold: float | None
    passed: bool
    reason: str


Rule = Callable[[Evidence, float], Finding]


@dataclass(frozen=True)
class Gate:
    """A named rule with its threshold; rules that compare with another model ignore the threshold."""

    name: str
    rule: Rule
    threshold: float


@dataclass(frozen=True)
class Verdict:
    """One gate's answer about one candidate."""

    gate: str
    value: float | None
    threshold: float | None
    passed: bool
    reason: str


def standard_gates(config: GateConfig) -> tuple[Gate, ...]:
    """The gates of nofx.toml, in the order in which they are reported.

    >>> [gate.name for gate in standard_gates(GateConfig())][:3]
    ['rank_ic_interval', 'paired_difference', 'net_sharpe']
    """
    return (
        Gate("rank_ic_interval", rank_ic_above, 0.0),
        Gate("paired_difference", better_than_incumbent, 0.0),
        Gate("net_sharpe", sharpe_above_baseline, 0.0),
        Gate("deflated_sharpe", deflated_sharpe_at_least, config.deflated_sharpe),
        Gate("fold_share", positive_fold_share, config.fold_share),
        Gate("leak_check", leak_check_passed, 1.0),
    )


def decide(
    candidate: Evaluation,
    incumbent: Evaluation | None,
    baseline: Evaluation,
    fold_rank_ics: Sequence[float | None],
    leak_passed: bool | None,
    config: GateConfig,
    *,
    gates: Sequence[Gate] | None = None,
) -> list[Verdict]:
    """Ask every gate about the candidate; one verdict a gate, in order."""
    evidence = Evidence(candidate, incumbent, baseline, fold_rank_ics, leak_passed)
    verdicts = []
    for gate in standard_gates(config) if gates is None else gates:
        found = gate.rule(evidence, gate.threshold)
        verdicts.append(Verdict(gate.name, found.value, found.threshold, found.passed, found.reason))
    return verdicts


def verdict_rows(verdicts: Sequence[Verdict], model: str, version: str, decided_at: datetime) -> pl.DataFrame:
    """The verdicts as rows of the table gates."""
    rows = [(model, version, v.gate, v.value, v.threshold, v.passed, v.reason, decided_at) for v in verdicts]
    return pl.DataFrame(rows, schema=GATES.columns, orient="row")


def rank_ic_above(evidence: Evidence, threshold: float) -> Finding:
    """The whole interval of the rank IC lies above the threshold."""
    candidate = evidence.candidate
    label = "rank IC over time" if candidate.rank_ic_metric.endswith("_time") else "rank IC"
    return _interval_above(candidate.rank_ic, threshold, label, candidate.confidence)


def better_than_incumbent(evidence: Evidence, threshold: float) -> Finding:
    """The whole interval of the paired rank IC difference to the champion lies above the threshold.

    Without a champion the candidate is compared with the baseline. One that scores as the champion does (the
    same model, trained again) does not replace it.
    """
    rival, name = evidence.incumbent, "the champion's"
    if rival is None:
        rival, name = evidence.baseline, "the baseline's (there is no champion yet)"
    if rival.rank_ic_metric != evidence.candidate.rank_ic_metric:
        reason = f"{evidence.candidate.rank_ic_metric} cannot be compared with {name} {rival.rank_ic_metric}"
        return Finding(None, threshold, False, reason)
    difference = paired_difference(evidence.candidate, rival)
    label = f"rank IC less {name}, session by session,"
    if difference.value == difference.lo == difference.hi == 0.0:
        return Finding(0.0, threshold, False, f"{label} is 0 throughout: the same scores, nothing to replace")
    return _interval_above(difference, threshold, label, evidence.candidate.confidence)


def sharpe_above_baseline(evidence: Evidence, margin: float) -> Finding:
    """The net Sharpe ratio exceeds the baseline's by more than ``margin``."""
    ours, theirs = (e.metrics["sharpe"].value for e in (evidence.candidate, evidence.baseline))
    if ours is None or theirs is None:
        whose = "candidate" if ours is None else "baseline"
        return Finding(
            ours, theirs, False, f"the {whose}'s net Sharpe is unknown: its portfolio never varied"
        )
    bar = theirs + margin
    passed = ours > bar
    verb = "is above" if passed else "is not above"
    return Finding(ours, bar, passed, f"net Sharpe {ours:.2f} {verb} the baseline's {theirs:.2f}")


def deflated_sharpe_at_least(evidence: Evidence, threshold: float) -> Finding:
    """The deflated Sharpe ratio reaches the threshold."""
    metric = evidence.candidate.metrics["deflated_sharpe"]
    if metric.value is None:
        reason = f"the deflated Sharpe is unknown: {metric.n} sessions without a varying return"
        return Finding(None, threshold, False, reason)
    passed = metric.value >= threshold
    verb = "reaches" if passed else "does not reach"
    reason = f"deflated Sharpe {metric.value:.3f} over {metric.n} sessions {verb} {threshold:g}"
    return Finding(metric.value, threshold, passed, reason)


def positive_fold_share(evidence: Evidence, threshold: float) -> Finding:
    """The rank IC is above zero in at least this share of the folds; an unknown fold does not count."""
    folds = evidence.fold_rank_ics
    if not folds:
        return Finding(None, threshold, False, "no fold has a rank IC")
    good = sum(ic is not None and ic > 0 for ic in folds)
    share = good / len(folds)
    passed = share >= threshold
    reason = f"rank IC is above zero in {good} of {len(folds)} folds ({share:.0%}), {threshold:.0%} are asked"
    return Finding(share, threshold, passed, reason)


def leak_check_passed(evidence: Evidence, threshold: float) -> Finding:
    """The leak check ran and found nothing that moves with the future."""
    passed = evidence.leak_passed is True
    if evidence.leak_passed is None:
        return Finding(None, threshold, False, "the leak check did not run")
    reason = "nothing at or before the cut moved with the future" if passed else "the leak check found a leak"
    return Finding(float(passed), threshold, passed, reason)


def _interval_above(metric: MetricValue, threshold: float, label: str, confidence: float) -> Finding:
    if metric.value is None or metric.lo is None or metric.hi is None:
        known = "is unknown" if metric.value is None else f"is {metric.value:+.4f} but has no interval"
        return Finding(
            None, threshold, False, f"{label} {known}: {metric.n} sessions are too few or constant"
        )
    passed = metric.lo > threshold
    verb = "lies above" if passed else "does not lie above"
    reason = (
        f"{label} is {metric.value:+.4f}, {confidence:.0%} interval [{metric.lo:+.4f}, {metric.hi:+.4f}] "
        f"over {metric.n} sessions {verb} {threshold:g}"
    )
    return Finding(metric.lo, threshold, passed, reason)
