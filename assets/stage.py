"""A stage as an asset: its place and freshness from the graph, what a person sees from its view."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from importlib import import_module
from typing import Any

import dagster as dg

from assets.outcome import HeavyOptions, StageOptions, materialized
from assets.partitions import partitions_of, window_of
from assets.shared_work import alone
from nofx_pipelines import markdown
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.market.stages import ingest_version
from nofx_pipelines.plan import bring_up_to_date
from nofx_pipelines.stages import Reads, Stage, StageRun
from nofx_pipelines.storage import storage_guard
from resources.compute import ComputeResource
from resources.engine import EngineResource
from resources.lake import LakeResource
from resources.online import OnlineStoreResource
from resources.sources import SourcesResource
from resources.tracker import TrackerResource

AssetDecorator = Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]
Check = tuple[str, str, bool]
"""Name, description, whether it blocks what follows."""

OWNERS = {"ingest": ["team:data"], "universe": ["team:research"]}

GPU_POOL = "gpu"
GPU_TAGS = {
    "dagster-k8s/config": {"container_config": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}},
}
"""Read by Dagster's Kubernetes executors, by no other."""

# by when, in the market's own time, a session's tables are expected
DEADLINES = {
    "cn": ("0 19 * * 1-5", "Asia/Shanghai"),
    "hk": ("30 19 * * 1-5", "Asia/Hong_Kong"),
    "crypto": ("0 2 * * *", "UTC"),
}


@dataclass(frozen=True)
class Shown:
    """What a person sees of one materialisation."""

    rows: int
    seconds: float
    more: Mapping[str, Any] = field(default_factory=dict)
    checks: Sequence[dg.AssetCheckResult] = ()
    described: Mapping[str, str] = field(default_factory=dict)
    """What columns are, by name."""
    problems: Sequence[str] = ()
    """What went wrong without stopping the stage, for the terminal too."""
    table: LakeTable | None = None
    """Which table it is shown with, where that is not the stage's own."""


@dataclass(frozen=True)
class StageView:
    """How a stage stands in the UI: ``VIEW`` of the module of its name in this folder."""

    kinds: frozenset[str]
    description: Callable[[UniverseConfig], str]
    show: Callable[[Any, StageRun, LakeTable], Shown]
    """Of what the stage's computation gave, its run and its table."""
    checks: Sequence[Check] = ()
    heavy: bool = False
    """It sits in the pool ``gpu`` and asks Kubernetes for a GPU, unless the universe computes on ``cpu``."""


def sessions_counted(result: Any, run: StageRun, table: LakeTable) -> Shown:
    """What a stage shows that writes sessions and has nothing else to say."""
    more = {"sessions_written": len(result.written), "sessions_fresh": len(result.fresh)}
    return Shown(rows=result.rows, seconds=result.seconds, more=more)


def view_of(stage: Stage) -> StageView:
    """The view of a stage."""
    view: StageView = import_module(f"assets.{stage.name}").VIEW
    return view


def build_stage(stage: Stage, universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset of ``stage`` in ``universe``."""
    view, key = view_of(stage), dg.AssetKey([universe.name, stage.name])
    sources_read = [dg.AssetDep(dg.AssetKey([feed.scope, n])) for n in ("instruments", feed.source_bars)]
    arguments: dict[str, Any] = {
        "key": key,
        "deps": [_dependency(universe, each) for each in stage.reads] or sources_read,
        "group_name": universe.name,
        "owners": OWNERS["universe"],
        "kinds": set(view.kinds),
        "description": markdown.escape(view.description(universe)),
        "code_version": stage.version(universe),
        "partitions_def": partitions_of(feed) if stage.has_partitions else None,
        "backfill_policy": dg.BackfillPolicy.single_run() if stage.has_partitions else None,
        "freshness_policy": None if stage.follows_refresh else freshness(feed),
        "tags": {"market": universe.market, "freq": universe.freq},
        "check_specs": check_specs(key, view.checks),
    }
    if view.heavy and universe.compute.device in ("auto", "cuda"):
        arguments |= {"pool": GPU_POOL, "op_tags": GPU_TAGS}
    decorate: AssetDecorator = dg.asset(**arguments)
    return decorate(
        _heavy(stage, universe, feed, view) if view.heavy else _plain(stage, universe, feed, view)
    )


def _plain(
    stage: Stage, universe: UniverseConfig, feed: FeedConfig, view: StageView
) -> Callable[..., dg.MaterializeResult]:
    def materialise(
        context: dg.AssetExecutionContext,
        config: StageOptions,
        lake: LakeResource,
        tracker: TrackerResource,
        sources: SourcesResource,
        online: OnlineStoreResource,
    ) -> dg.MaterializeResult:
        run = _run(stage, universe, feed, context, config, lake, tracker, sources, online)
        return _materialise(stage, run, view, context)

    return materialise


def _heavy(
    stage: Stage, universe: UniverseConfig, feed: FeedConfig, view: StageView
) -> Callable[..., dg.MaterializeResult]:
    def materialise(
        context: dg.AssetExecutionContext,
        config: HeavyOptions,
        lake: LakeResource,
        tracker: TrackerResource,
        sources: SourcesResource,
        online: OnlineStoreResource,
        compute: ComputeResource,
        engine: EngineResource,
    ) -> dg.MaterializeResult:
        run = _run(stage, universe, feed, context, config, lake, tracker, sources, online)
        device = compute.resolve(config.compute_of(universe.compute)).kind
        return _materialise(stage, replace(run, device=device, engine=engine.open()), view, context)

    return materialise


def _run(
    stage: Stage,
    universe: UniverseConfig,
    feed: FeedConfig,
    context: dg.AssetExecutionContext,
    config: StageOptions,
    lake: LakeResource,
    tracker: TrackerResource,
    sources: SourcesResource,
    online: OnlineStoreResource,
) -> StageRun:
    now = sources.now()
    # an unpartitioned stage reads what there is, whatever the dates
    whole = (feed.start, feed.end or now.date() + timedelta(days=1))
    start, end = window_of(context, feed) if stage.has_partitions else whole
    return StageRun(
        lake=lake.open(),
        universe=universe,
        feed=feed,
        start=start,
        end=end,
        now=now,
        home=online.folder(),
        run_id=context.run.run_id,
        open_tracker=tracker.open,
        force=config.force,
    )


def _materialise(
    stage: Stage, run: StageRun, view: StageView, context: dg.AssetExecutionContext
) -> dg.MaterializeResult:
    with storage_guard(run.home), alone(context, run.home):
        result, state = bring_up_to_date(stage, run)
    table = run.lake.table(run.universe.name, stage.table)
    shown = view.show(result, run, table)
    return materialized(
        shown.table or table,
        rows=shown.rows,
        seconds=shown.seconds,
        device=run.device,
        more={**({"state": state} if state is not None else {}), **shown.more},
        problems=shown.problems,
        checks=shown.checks,
        described=shown.described,
    )


def _dependency(universe: UniverseConfig, read: Reads) -> dg.AssetDep:
    key = dg.AssetKey([universe.name, read.stage.name])
    if read.whole and read.stage.has_partitions:
        return dg.AssetDep(key, partition_mapping=dg.AllPartitionMapping())
    if read.back or read.ahead:
        mapping = dg.TimeWindowPartitionMapping(
            start_offset=-read.back, end_offset=read.ahead, allow_nonexistent_upstream_partitions=True
        )
        return dg.AssetDep(key, partition_mapping=mapping)
    return dg.AssetDep(key)


def ingest_asset(
    feed: FeedConfig,
    name: str,
    *,
    description: str,
    partitioned: bool,
    deps: Sequence[dg.AssetKey] = (),
    checks: Sequence[Check] = (),
) -> AssetDecorator:
    """The decorator that makes a function an ingestion asset of ``feed``."""
    key = dg.AssetKey([feed.scope, name])
    arguments: dict[str, Any] = {
        "key": key,
        "deps": deps,
        "group_name": f"ingest_{feed.market}",
        "owners": OWNERS["ingest"],
        "kinds": {"polars", "deltalake"},
        "description": description,
        "code_version": ingest_version(feed),
        "partitions_def": partitions_of(feed) if partitioned else None,
        "backfill_policy": dg.BackfillPolicy.single_run() if partitioned else None,
        "freshness_policy": freshness(feed) if partitioned else None,
        "tags": {"market": feed.market, "freq": feed.freq},
        "check_specs": check_specs(key, checks),
    }
    decorate: AssetDecorator = dg.asset(**arguments)
    return decorate


def freshness(feed: FeedConfig) -> dg.FreshnessPolicy | None:
    """A deadline after each close; none for a feed that has ended."""
    if feed.end is not None:
        return None
    cron, zone = DEADLINES[feed.market]
    return dg.FreshnessPolicy.cron(deadline_cron=cron, lower_bound_delta=timedelta(hours=4), timezone=zone)


def check_specs(key: dg.AssetKey, checks: Sequence[Check]) -> list[dg.AssetCheckSpec]:
    """Specs of checks that a stage evaluates while it materialises."""
    return [
        dg.AssetCheckSpec(name, asset=key, description=text, blocking=blocking)
        for name, text, blocking in checks
    ]
