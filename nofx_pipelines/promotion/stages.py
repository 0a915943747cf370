"""The stages that this package computes: the candidate, the champion, and what the champion says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.features.stages import FEATURES
from nofx_pipelines.hpo.stages import HPO_STUDY
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.leakcheck.stages import TRAINING_SET
from nofx_pipelines.market.stages import BARS
from nofx_pipelines.nas.stages import NAS_SEARCH
from nofx_pipelines.stages import Extent, Reads, Stage, StageRun


def _families(universe: UniverseConfig) -> Iterable[tuple[str, str]]:
    return (("families", name) for name in universe.families)


def _gates(universe: UniverseConfig) -> Iterable[tuple[str, str]]:
    return (("gates", name) for name in universe.gates.use)


def _candidate(run: StageRun) -> Any:
    from nofx_pipelines.promotion.candidate import refresh_candidate

    return refresh_candidate(
        run.lake,
        run.open_tracker(),
        run.universe,
        engine=run.engine,
        device=run.device,
        **run.table_stamp,
    )


def _stored_candidate(lake: Lake, universe: UniverseConfig) -> Any:
    from nofx_pipelines.promotion.candidate import known_candidate

    return known_candidate(lake, universe)


def _champion(run: StageRun) -> Any:
    from nofx_pipelines.promotion.champion import refresh_champion

    return refresh_champion(run.lake, run.open_tracker(), run.universe, now=run.now, **run.table_stamp)


def _stored_champion(lake: Lake, universe: UniverseConfig) -> Any:
    from nofx_pipelines.promotion.champion import known_champion

    return known_champion(lake, universe)


def _signals(run: StageRun) -> Any:
    from nofx_pipelines.promotion.signals import refresh_signals

    champion = run.open_tracker().load(f"models:/{run.universe.model_name}@champion")
    return refresh_signals(run.lake, run.universe, champion, force=run.force, **run.stamp)


def _signal_inputs(extent: Extent) -> Mapping[date, str]:
    from nofx_pipelines.promotion.signals import signal_inputs

    return signal_inputs(extent.lake, extent.universe)


CANDIDATE_MODEL = Stage(
    name="candidate_model",
    table="leaderboard",
    modules=("nofx_pipelines.promotion.candidate",),
    reads=(Reads(TRAINING_SET), Reads(HPO_STUDY), Reads(NAS_SEARCH), Reads(BARS, whole=True)),
    compute=_candidate,
    settings=(
        "market",
        "freq",
        "labels",
        "families",
        "search",
        "nas",
        "gates.confidence",
        "gates.resamples",
        "gates.seed",
        "compute",
    ),
    members=_families,
    stored=_stored_candidate,
    searched=True,
)
CHAMPION = Stage(
    name="champion",
    table="champion",
    modules=("nofx_pipelines.promotion.champion",),
    reads=(Reads(CANDIDATE_MODEL),),
    compute=_champion,
    settings=("market", "freq", "labels", "gates"),
    members=_gates,
    stored=_stored_champion,
)
SIGNALS = Stage(
    name="signals",
    table="signals",
    modules=("nofx_pipelines.promotion.signals",),
    reads=(Reads(FEATURES, whole=True), Reads(CHAMPION)),
    compute=_signals,
    session_inputs=_signal_inputs,
    partitioned=False,
)
STAGES = (CANDIDATE_MODEL, CHAMPION, SIGNALS)
