"""The graph as data: what each stage reads, writes and runs, for assets, planner and docs alike.

A stage of a market (``cn/source_bars_1d``) or a universe (``cn/features``) is an asset key
``[scope, name]``; its output is the Delta table of the same scope and of ``table``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nofx_pipelines.code_version import code_version
from nofx_pipelines.config import FeedConfig, UniverseConfig


@dataclass(frozen=True)
class Stage:
    """One stage: its place in the graph and what its freshness depends on."""

    name: str
    table: str
    """The table whose commits say what the stage wrote, from what, with which code."""
    modules: tuple[str, ...]
    """The modules that compute it: their sources make its code version."""
    upstream: tuple[str, ...]
    """Names of the stages of the same universe that it reads."""
    settings: tuple[str, ...] = ()
    """Fields of the universe's configuration that it reads."""
    by_session: bool = False
    """Sessions are fresh or not one by one; otherwise the table as a whole."""
    partitioned: bool | None = None
    """Whether the asset has partitions; as ``by_session`` unless said otherwise."""
    searched: bool = False
    """Counts as fresh within the universe's refresh period although new data came."""

    @property
    def has_partitions(self) -> bool:
        """Whether the stage's asset is partitioned."""
        return self.by_session if self.partitioned is None else self.partitioned

    @property
    def follows_refresh(self) -> bool:
        """Whether it changes with the searches' refresh rather than with each close."""
        above = [STAGES[name].follows_refresh for name in self.upstream]
        return self.searched or (bool(above) and all(above))

    def version(self, universe: UniverseConfig) -> str:
        """The code version of this stage in ``universe``."""
        chosen = {name: getattr(universe, name) for name in self.settings}
        return code_version(self.modules, chosen)

    def version_above(self, universe: UniverseConfig) -> str:
        """The code version of everything that this stage is made from, over all stages above it."""
        return code_version((), {stage.name: stage.version(universe) for stage in self.above()})

    def above(self) -> tuple[Stage, ...]:
        """The stages that this one reads, and those that they read, in the graph's order."""
        direct = [STAGES[name] for name in self.upstream]
        found = {stage.name for each in direct for stage in (each, *each.above())}
        return tuple(stage for stage in UNIVERSE_STAGES if stage.name in found)


UNIVERSE_STAGES: tuple[Stage, ...] = (
    Stage(
        "bars",
        "bars",
        ("nofx_pipelines.market.bars",),
        (),
        ("market", "freq", "members"),
        by_session=True,
    ),
    Stage(
        "features",
        "features",
        ("nofx_pipelines.features.execution.refresh", "nofx_pipelines.features.sets"),
        ("bars",),
        ("market", "freq", "features"),
        by_session=True,
    ),
    Stage(
        "online_features",
        "online_features",
        ("nofx_pipelines.features.online.refresh",),
        ("features",),
        ("freq",),
    ),
    Stage(
        "anomaly_scores",
        "anomaly_scores",
        ("nofx_pipelines.anomaly.scoring", "nofx_pipelines.market.adjust"),
        ("bars",),
        ("market", "freq", "anomaly"),
        by_session=True,
    ),
    Stage(
        "anomalies",
        "anomalies",
        ("nofx_pipelines.anomaly.events", "nofx_pipelines.anomaly.triage"),
        ("anomaly_scores",),
        ("freq", "anomaly"),
    ),
    Stage(
        "anomaly_clusters",
        "anomaly_clusters",
        ("nofx_pipelines.anomaly.clusters",),
        ("anomalies",),
    ),
    Stage(
        "marl_training",
        "marl_history",
        ("nofx_pipelines.marl.refresh",),
        ("bars",),
        ("market", "freq", "folds", "marl", "compute"),
        searched=True,
    ),
    Stage(
        "marl_policy",
        "policy_leaderboard",
        ("nofx_pipelines.marl.registration",),
        ("bars", "marl_training"),
        ("market", "freq", "folds", "gates", "marl"),
        searched=True,
    ),
    Stage(
        "labels",
        "labels",
        ("nofx_pipelines.labels.refresh",),
        ("bars",),
        ("market", "freq", "labels"),
        by_session=True,
    ),
    Stage(
        "training_set",
        "training_set",
        ("nofx_pipelines.labels.training_set", "nofx_pipelines.leakcheck"),
        ("features", "labels"),
        ("market", "freq", "features", "labels", "folds"),
    ),
    Stage(
        "hpo_study",
        "hpo_trials",
        ("nofx_pipelines.hpo.study", "nofx_pipelines.hpo.refresh"),
        ("training_set",),
        ("search", "compute"),
        searched=True,
    ),
    Stage(
        "nas_search",
        "nas_trials",
        ("nofx_pipelines.nas.refresh", "nofx_pipelines.nas.worker"),
        ("training_set", "features"),
        ("labels", "nas", "compute"),
        searched=True,
    ),
    Stage(
        "candidate_model",
        "leaderboard",
        ("nofx_pipelines.promotion.candidate",),
        ("training_set", "hpo_study", "nas_search", "bars"),
        ("market", "freq", "labels", "search", "nas", "gates", "compute"),
        searched=True,
    ),
    Stage(
        "champion",
        "champion",
        ("nofx_pipelines.promotion.champion",),
        ("candidate_model",),
        ("market", "freq", "labels", "gates"),
    ),
    Stage(
        "signals",
        "signals",
        ("nofx_pipelines.promotion.signals",),
        ("features", "champion"),
        by_session=True,
        partitioned=False,
    ),
)
STAGES: Mapping[str, Stage] = {stage.name: stage for stage in UNIVERSE_STAGES}


def ingest_version(feed: FeedConfig) -> str:
    """The code version of a feed's ingestion; the data's version is the sources' fingerprint."""
    modules = ["nofx_pipelines.market.ingest"]
    modules += [f"nofx_pipelines.market.sources.{kind}" for kind in sorted({s.kind for s in feed.sources})]
    settings: dict[str, Any] = {"market": feed.market, "freq": feed.freq}
    return code_version(modules, settings)
