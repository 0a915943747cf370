"""Which searched model becomes the candidate: the better one by validation, before any test is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.evaluation.evaluate import Trials
from nofx_pipelines.hpo.best import best_params
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.models.dataset import feature_columns
from nofx_pipelines.models.window_columns import window_names


@dataclass(frozen=True)
class Contender:
    """A family with its parameters, what it reads, and why it was chosen."""

    family: str
    params: Mapping[str, Any]
    columns: tuple[str, ...]
    """Feature columns, window columns for a network."""
    seed: int
    rank_ic: float
    """Mean over the valid rows of the same folds for every family."""
    reason: str


def contender(lake: Lake, universe: UniverseConfig, device: str = "cpu") -> Contender:
    """The better of the tuned gradient boosting and the searched network; the boosting of equals.

    Raises ModelError when the study has no complete trial.
    """
    studied, searched = _trials(lake, universe)
    names = feature_columns(lake.table(universe.name, "training_set").scan().head(0).collect())
    params = best_params(studied)
    boosted = float(studied.filter(pl.col("state") == "COMPLETE")["values"].list.get(0).max() or 0.0)  # type: ignore[arg-type]
    seed = universe.search.seed
    if searched.is_empty():
        return Contender("gbdt", params, names, seed, boosted, "gradient boosting; no network was searched")
    from nofx_pipelines.nas.best import best_network

    best = best_network(searched)
    if best is None or best.rank_ic <= boosted:
        found = "no network" if best is None else f"{best.rank_ic:.4f} of the best network"
        reason = f"gradient boosting: rank IC {boosted:.4f} by validation against {found}"
        return Contender("gbdt", params, names, seed, boosted, reason)
    from dataclasses import asdict

    from nofx_pipelines.models.families.network import NetworkParams
    from nofx_pipelines.nas.refresh import final_training

    network = asdict(NetworkParams(best.spec.to_json(), final_training(universe.nas), device))
    columns = window_names(names, best.spec.lookback)
    reason = (
        f"network {best.spec.arch_hash[:12]}: rank IC {best.rank_ic:.4f} by validation "
        f"against {boosted:.4f} of the gradient boosting"
    )
    return Contender("network", network, columns, universe.nas.seed, best.rank_ic, reason)


def tried(families: Sequence[pl.DataFrame], universe: UniverseConfig) -> Trials:
    """How many configurations were compared and how much their validation Sharpe ratios varied.

    ``families`` are rows of HPO_TRIALS or NAS_TRIALS; they add up. Trials that earn alike are not
    independent: M of them with mean correlation r count as r + (1 - r) M (Bailey & López de Prado 2014,
    appendix 3). A trial's third value is the Sharpe ratio per horizon, here annualised, the fourth its mean
    correlation with the others of its family. One trial, or trials that all agree, leave the variance to the
    strictest reading.
    """
    count, known = 0.0, list[float]()
    for trials in families:
        if trials.is_empty():
            continue
        values = trials["values"].drop_nulls()
        known += values.filter(values.list.len() > 2).list.get(2).to_list()
        alike = values.filter(values.list.len() > 3).list.get(3).to_numpy()
        correlation = float(np.clip(alike.mean(), 0, 1)) if len(alike) else 0.0
        count += correlation + (1 - correlation) * trials.height
    if len(known) < 2:
        return Trials(count=max(count, 1.0))
    per_year = calendar(universe.market).bars_per_year(universe.freq) / universe.labels.horizon
    return Trials(count=max(count, 1.0), sharpe_variance=float(np.var(known, ddof=1)) * per_year)


def search_trials(lake: Lake, universe: UniverseConfig) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What was compared: the trials of the study, and those of the search without its finalists' repeats."""
    studied, searched = _trials(lake, universe)
    return studied, searched.filter(pl.col("fidelity").fill_null(0.0) < 1.0)


def _trials(lake: Lake, universe: UniverseConfig) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The trials of the study and of the search; an empty frame where there was no search."""
    studied = lake.table(universe.name, "hpo_trials").scan().collect()
    table = lake.table(universe.name, "nas_trials")
    searched = table.scan().collect() if table.exists() else pl.DataFrame(schema=table.schema.columns)
    return studied, searched
