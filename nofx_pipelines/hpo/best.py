"""The trials of a universe's studies, and the best of each family's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.lake.store import Lake

_BEFORE_FAMILIES = "gbdt"
"""Of rows that were written before trials named their family."""


@dataclass(frozen=True)
class BestTrial:
    """A family's best trial."""

    family: str
    trial: int
    params: dict[str, Any]
    rank_ic: float
    """Mean over the valid rows of the folds."""


def stored_trials(lake: Lake, universe: UniverseConfig) -> pl.DataFrame:
    """Rows of HPO_TRIALS in the order of their trials, each with its family."""
    trials = lake.table(universe.name, "hpo_trials").scan().collect()
    return trials.with_columns(pl.col("family").fill_null(_BEFORE_FAMILIES)).sort("study", "trial")


def best_trials(trials: pl.DataFrame) -> dict[str, BestTrial]:
    """By family, the complete trial with the highest rank IC, the earlier one of equals.

    ``trials``: rows of HPO_TRIALS. A family without a complete trial is left out.
    """
    complete = trials.filter(pl.col("state") == "COMPLETE").with_columns(
        pl.col("values").list.get(0).alias("rank_ic")
    )
    ranked = complete.sort("rank_ic", "trial", descending=[True, False])
    first = ranked.unique("family", keep="first", maintain_order=True)
    return {
        family: BestTrial(family, trial, json.loads(params), rank_ic)
        for family, trial, params, rank_ic in first.select("family", "trial", "params", "rank_ic").iter_rows()
    }
