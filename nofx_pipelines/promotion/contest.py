"""Which searched model becomes the candidate: the best by validation, before any test is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import ConfigError, ModelError
from nofx_pipelines.evaluation.evaluate import Trials
from nofx_pipelines.hpo.best import best_trials, stored_trials
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.models.dataset import feature_columns
from nofx_pipelines.models.window_columns import window_names


@dataclass(frozen=True)
class Contender:
    """A family with its best parameters, what it reads, and, of the winner, why it won."""

    family: str
    params: Mapping[str, Any]
    columns: tuple[str, ...]
    """Feature columns, window columns for a network."""
    seed: int
    rank_ic: float
    """Mean over the valid rows of the same folds for every family."""
    title: str
    """Which of the family's models it is, in words."""
    reason: str = ""


def contender(lake: Lake, universe: UniverseConfig, device: str = "cpu") -> Contender:
    """The best of the families' best by validation, the one named earlier in ``families`` of equals.

    A family with a study sends its best trial, the network its best finalist. Raises ModelError when no study
    has a complete trial, ConfigError when no family of the universe is searched.
    """
    hpo_trials, nas_trials = _stored(lake, universe)
    names = feature_columns(lake.table(universe.name, "training_set").scan().head(0).collect())
    of_studies = _of_studies(hpo_trials, universe, names)
    by_family = of_studies | _of_search(nas_trials, universe, names, device)
    contenders = [by_family[name] for name in universe.families if name in by_family]
    incomplete = [n for n in universe.families if n in _families(hpo_trials) and n not in of_studies]
    if incomplete and not any(entry.family in of_studies for entry in contenders):
        raise ModelError(
            f"no trial of {', '.join(incomplete)} is complete",
            kept="no model was trained",
            hint="nofx run --force",
        )
    if not contenders:
        raise _nobody(universe)
    best = max(contenders, key=lambda entry: entry.rank_ic)  # the first of equals
    others = [entry for entry in contenders if entry is not best]
    return replace(best, reason=_reason(best, others, incomplete))


def effective_trials(families: Sequence[pl.DataFrame], universe: UniverseConfig) -> Trials:
    """How many configurations were compared and how much their validation Sharpe ratios varied.

    ``families`` are rows of HPO_TRIALS or NAS_TRIALS, one frame a study; they add up. Trials that earn alike
    are not independent: M of them with mean correlation r count as r + (1 - r) M (Bailey & López de Prado
    2014, appendix 3). A trial's third value is the Sharpe ratio per horizon, here annualised, the fourth its
    mean correlation with the others of its study. One trial, or trials that all agree, leave the variance to
    the strictest reading.
    """
    count, ratios = 0.0, list[float]()
    for trials in families:
        if trials.is_empty():
            continue
        values = trials["values"].drop_nulls()
        ratios += values.filter(values.list.len() > 2).list.get(2).to_list()
        alike = values.filter(values.list.len() > 3).list.get(3).to_numpy()
        correlation = float(np.clip(alike.mean(), 0, 1)) if len(alike) else 0.0
        count += correlation + (1 - correlation) * trials.height
    if len(ratios) < 2:
        return Trials(count=max(count, 1.0))
    per_year = calendar(universe.market).bars_per_year(universe.freq) / universe.labels.horizon
    return Trials(count=max(count, 1.0), sharpe_variance=float(np.var(ratios, ddof=1)) * per_year)


def search_trials(lake: Lake, universe: UniverseConfig) -> tuple[pl.DataFrame, ...]:
    """What was compared: each family's trials, last those of the search without its finalists' repeats."""
    hpo_trials, nas_trials = _stored(lake, universe)
    of_families = [hpo_trials.filter(pl.col("family") == name) for name in _families(hpo_trials)]
    return (*of_families, nas_trials.filter(pl.col("fidelity").fill_null(0.0) < 1.0))


def _of_studies(
    hpo_trials: pl.DataFrame, universe: UniverseConfig, names: tuple[str, ...]
) -> dict[str, Contender]:
    """By family, the best trial of each study that has a complete one."""
    seed = universe.search.seed
    return {
        best.family: Contender(best.family, best.params, names, seed, best.rank_ic, best.family)
        for best in best_trials(hpo_trials).values()
    }


def _of_search(
    nas_trials: pl.DataFrame, universe: UniverseConfig, names: tuple[str, ...], device: str
) -> dict[str, Contender]:
    """The network, where there is a finalist."""
    if nas_trials.is_empty():
        return {}
    from nofx_pipelines.models.families.network import NetworkParams
    from nofx_pipelines.nas.best import best_network
    from nofx_pipelines.nas.refresh import NETWORK, final_training

    best = best_network(nas_trials)
    if best is None:
        return {}
    params = asdict(NetworkParams(best.spec.to_json(), final_training(universe.nas), device))
    columns, title = window_names(names, best.spec.lookback), f"{NETWORK} {best.spec.arch_hash[:12]}"
    return {NETWORK: Contender(NETWORK, params, columns, universe.nas.seed, best.rank_ic, title)}


def _reason(best: Contender, others: Sequence[Contender], incomplete: Sequence[str]) -> str:
    """The winner against all that contended, and who could not."""
    beaten = ", ".join(f"{entry.rank_ic:.4f} of {entry.title}" for entry in others)
    against = f" against {beaten}" if others else "; no other family contended"
    failed = f"; no trial of {', '.join(incomplete)} is complete" if incomplete else ""
    return f"{best.title}: rank IC {best.rank_ic:.4f} by validation{against}{failed}"


def _nobody(universe: UniverseConfig) -> ConfigError:
    listed = ", ".join(universe.families)
    return ConfigError(
        f"no family of universe {universe.name} is searched: families = {listed}, "
        f"nas.trials = {universe.nas.trials}",
        kept="no model was trained",
        hint='name gbdt or another family with hyper-parameters: families = ["ridge", "gbdt"]',
    )


def _families(hpo_trials: pl.DataFrame) -> list[str]:
    return hpo_trials["family"].unique(maintain_order=True).to_list()


def _stored(lake: Lake, universe: UniverseConfig) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The trials of the studies and of the search; an empty frame where there was no search."""
    table = lake.table(universe.name, "nas_trials")
    nas_trials = table.scan().collect() if table.exists() else pl.DataFrame(schema=table.schema.columns)
    return stored_trials(lake, universe), nas_trials
