"""What every stage's asset has in common: key, group, owners, kinds, freshness, code version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from assets.partitions import partitions_of
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.stages import STAGES, ingest_version

AssetDecorator = Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]

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


def stage_asset(
    universe: UniverseConfig,
    feed: FeedConfig,
    name: str,
    *,
    kinds: Iterable[str],
    description: str,
    deps: Sequence[dg.AssetDep],
    checks: Sequence[tuple[str, str, bool]] = (),
    heavy: bool = False,
) -> AssetDecorator:
    """The decorator that makes a function the asset of the stage ``name`` of ``universe``.

    ``checks`` are (name, description, blocking). A ``heavy`` stage sits in the pool ``gpu`` and asks
    Kubernetes for a GPU, unless the universe's compute says ``cpu``.
    """
    stage, key = STAGES[name], dg.AssetKey([universe.name, name])
    arguments: dict[str, Any] = {
        "key": key,
        "deps": deps,
        "group_name": universe.name,
        "owners": OWNERS["universe"],
        "kinds": set(kinds),
        "description": description,
        "code_version": stage.version(universe),
        "partitions_def": partitions_of(feed) if stage.has_partitions else None,
        "backfill_policy": dg.BackfillPolicy.single_run() if stage.has_partitions else None,
        "freshness_policy": None if stage.follows_refresh else freshness(feed),
        "tags": {"market": universe.market, "freq": universe.freq},
        "check_specs": check_specs(key, checks),
    }
    if heavy and universe.compute.device in ("auto", "cuda"):
        arguments |= {"pool": GPU_POOL, "op_tags": GPU_TAGS}
    decorate: AssetDecorator = dg.asset(**arguments)
    return decorate


def ingest_asset(
    feed: FeedConfig,
    name: str,
    *,
    description: str,
    partitioned: bool,
    deps: Sequence[dg.AssetKey] = (),
    checks: Sequence[tuple[str, str, bool]] = (),
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


def check_specs(key: dg.AssetKey, checks: Sequence[tuple[str, str, bool]]) -> list[dg.AssetCheckSpec]:
    """Specs of checks that a stage evaluates while it materialises."""
    return [
        dg.AssetCheckSpec(name, asset=key, description=text, blocking=blocking)
        for name, text, blocking in checks
    ]


def above(
    universe: UniverseConfig, name: str, *, whole: bool = False, back: int = 0, ahead: int = 0
) -> dg.AssetDep:
    """A dependency on the stage ``name`` of the same universe.

    ``back`` and ``ahead`` are partitions read before and after the own one (a lookback, a label's
    horizon); ``whole`` is every partition.
    """
    key = dg.AssetKey([universe.name, name])
    if whole and STAGES[name].has_partitions:
        return dg.AssetDep(key, partition_mapping=dg.AllPartitionMapping())
    if back or ahead:
        mapping = dg.TimeWindowPartitionMapping(
            start_offset=-back, end_offset=ahead, allow_nonexistent_upstream_partitions=True
        )
        return dg.AssetDep(key, partition_mapping=mapping)
    return dg.AssetDep(key)
