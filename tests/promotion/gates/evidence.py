"""Evaluations with figures to choose, for the gates' tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.config import GateConfig
from nofx_pipelines.evaluation.evaluate import Evaluation, MetricValue
from nofx_pipelines.promotion.gates import Evidence, Finding, use_gates

CONFIG = GateConfig()


def outcome(
    rank_ic: float | None = 0.05,
    half_width: float = 0.02,
    sharpe: float | None = 2.0,
    deflated: float | None = 0.97,
    metric: str = "rank_ic",
) -> Evaluation:
    """An evaluation with the given figures; its sessions' rank ICs scatter evenly around the mean."""
    n = 100
    bounds = (None, None) if rank_ic is None else (rank_ic - half_width, rank_ic + half_width)
    scatter = 0.02 * np.where(np.arange(n) % 2, 1.0, -1.0)
    series = [None] * n if rank_ic is None else (scatter + rank_ic).tolist()
    sessions = pl.DataFrame(
        {
            "session_date": [date(2024, 1, 1) + timedelta(days=t) for t in range(n)],
            "rank_ic": pl.Series(series, dtype=pl.Float64),
        }
    )
    measured = {
        metric: MetricValue(rank_ic, *bounds, n),
        "sharpe": MetricValue(sharpe, None, None, n),
        "deflated_sharpe": MetricValue(deflated, None, None, n),
    }
    return Evaluation(measured, sessions, pl.DataFrame(), metric, 1.0, 0.95, 500, 7)


GOOD, WEAK = outcome(), outcome(rank_ic=0.03, sharpe=1.0)
FOLDS = [0.02, 0.03, -0.01, 0.04, 0.05]
EVIDENCE = Evidence(GOOD, WEAK, WEAK, FOLDS, leak_passed=True)
"""Which every gate passes."""


def judged(name: str, config: GateConfig = CONFIG, **change: Any) -> Finding:
    """What one built-in gate says of `EVIDENCE` with a change."""
    (gate,) = use_gates(replace(config, use=(name,)))
    return gate.judge(replace(EVIDENCE, **change), config)
