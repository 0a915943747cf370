"""Ask every gate about a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from nofx_pipelines.config import GateConfig
from nofx_pipelines.evaluation.evaluate import Evaluation
from nofx_pipelines.lake.schemas import GATES
from nofx_pipelines.promotion.gates import use_gates
from nofx_pipelines.promotion.gates.gate import Evidence


@dataclass(frozen=True)
class Verdict:
    """One gate's answer about one candidate."""

    gate: str
    value: float | None
    threshold: float | None
    passed: bool
    reason: str


def decide(
    candidate: Evaluation,
    incumbent: Evaluation | None,
    baseline: Evaluation,
    fold_rank_ics: Sequence[float | None],
    leak_passed: bool | None,
    config: GateConfig,
    *,
    folder: Path | None = None,
) -> list[Verdict]:
    """Ask every gate of ``config.use`` about the candidate; one verdict a gate, in order.

    Parameters
    ----------
    candidate, incumbent, baseline
        Evaluations on the same test; there is no incumbent before the first champion.
    fold_rank_ics
        The candidate's, one a fold.
    leak_passed
        None where the leak check did not run.
    config
        The gates and their thresholds.
    folder
        The home's folder of plug-ins.

    Raises
    ------
    PluginError
        For a plug-in that cannot judge: then there is no verdict at all.
    """
    evidence = Evidence(candidate, incumbent, baseline, fold_rank_ics, leak_passed)
    verdicts = []
    for gate in use_gates(config, folder):
        answer = gate.judge(evidence, config)
        verdicts.append(Verdict(gate.name, answer.value, answer.threshold, answer.passed, answer.reason))
    return verdicts


def verdict_rows(verdicts: Sequence[Verdict], model: str, version: str, decided_at: datetime) -> pl.DataFrame:
    """The verdicts as rows of the table gates."""
    rows = [(model, version, v.gate, v.value, v.threshold, v.passed, v.reason, decided_at) for v in verdicts]
    return pl.DataFrame(rows, schema=GATES.columns, orient="row")
