"""The stages that this package computes: scores by session, anomalies and their clusters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.stages import BARS
from nofx_pipelines.stages import Extent, Reads, Stage, StageRun


def _scores(run: StageRun) -> Any:
    from nofx_pipelines.anomaly.refresh import refresh_scores

    return refresh_scores(
        run.lake,
        run.universe,
        run.open_tracker(),
        start=run.start,
        end=run.end,
        force=run.force,
        **run.stamp,
    )


def _score_inputs(extent: Extent) -> Mapping[date, str]:
    from nofx_pipelines.anomaly.refresh import score_inputs

    return score_inputs(extent.lake, extent.universe, start=extent.start, end=extent.end)


def _detectors(universe: UniverseConfig) -> Iterable[tuple[str, str]]:
    return (("detectors", name) for name in universe.anomaly.detectors)


def _events(run: StageRun) -> Any:
    from nofx_pipelines.anomaly.refresh import refresh_events

    return refresh_events(run.lake, run.universe, **run.table_stamp)


def _stored_events(lake: Lake, universe: UniverseConfig) -> Any:
    from nofx_pipelines.anomaly.refresh import known_events

    return known_events(lake, universe)


def _clusters(run: StageRun) -> Any:
    from nofx_pipelines.anomaly.refresh import refresh_clusters

    return refresh_clusters(run.lake, run.universe, **run.stamp)


def _stored_clusters(lake: Lake, universe: UniverseConfig) -> Any:
    from nofx_pipelines.anomaly.refresh import known_clusters

    return known_clusters(lake, universe)


def _cluster_inputs(lake: Lake, universe: UniverseConfig) -> str:
    from nofx_pipelines.anomaly.refresh import cluster_inputs

    return cluster_inputs(lake, universe)


ANOMALY_SCORES = Stage(
    name="anomaly_scores",
    table="anomaly_scores",
    modules=("nofx_pipelines.anomaly.scoring", "nofx_pipelines.market.adjust"),
    # references reach back over many partitions; what is missing there is not scored
    reads=(Reads(BARS, whole=True),),
    compute=_scores,
    settings=("market", "freq", "anomaly.detectors", "anomaly.seed"),
    members=_detectors,
    session_inputs=_score_inputs,
)
ANOMALIES = Stage(
    name="anomalies",
    table="anomalies",
    modules=("nofx_pipelines.anomaly.events", "nofx_pipelines.anomaly.triage"),
    reads=(Reads(ANOMALY_SCORES, whole=True),),
    compute=_events,
    settings=("freq", "anomaly.detectors", "anomaly.budget"),
    members=_detectors,
    stored=_stored_events,
)
ANOMALY_CLUSTERS = Stage(
    name="anomaly_clusters",
    table="anomaly_clusters",
    modules=("nofx_pipelines.anomaly.clusters",),
    reads=(Reads(ANOMALIES),),
    compute=_clusters,
    settings=("anomaly.detectors",),
    members=_detectors,
    stored=_stored_clusters,
    table_inputs=_cluster_inputs,
)
STAGES = (ANOMALY_SCORES, ANOMALIES, ANOMALY_CLUSTERS)
