"""Jobs: what one run materialises."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.markdown import escape

PUBLISH = "publish"


def ingest_keys(feed: FeedConfig) -> list[dg.AssetKey]:
    """The ingestion's asset keys of one market and frequency."""
    return [dg.AssetKey([feed.scope, "instruments"]), dg.AssetKey([feed.scope, feed.source_bars])]


def _kinds(feed: FeedConfig) -> str:
    return ", ".join(source.kind for source in feed.sources)


def ingest_job_name(feed: FeedConfig) -> str:
    """The name of the ingestion job."""
    return f"ingest_{feed.market}_{feed.freq}"


def close_job_name(universe: UniverseConfig) -> str:
    """The name of the job that runs after a market's close."""
    return f"{universe.name}_after_close"


def inbox_job_name(feed: FeedConfig) -> str:
    """The name of the job that takes in new files: the ingestion and all universes behind it."""
    return f"inbox_{feed.market}_{feed.freq}"


def universe_selection(universe: UniverseConfig) -> dg.AssetSelection:
    """All of one universe's assets."""
    return dg.AssetSelection.groups(universe.name)


def ingest_job(feed: FeedConfig) -> dg.UnresolvedAssetJobDefinition:
    """Instruments and source bars of one market and frequency."""
    return dg.define_asset_job(
        ingest_job_name(feed),
        selection=dg.AssetSelection.assets(*ingest_keys(feed)),
        description=escape(
            f"Ingest {feed.market} {feed.freq} from {', '.join(s.kind for s in feed.sources)}"
        ),
    )


def universe_job(universe: UniverseConfig) -> dg.UnresolvedAssetJobDefinition:
    """One universe, from bars to signals."""
    return dg.define_asset_job(
        universe.name,
        selection=universe_selection(universe),
        description=f"Everything of {universe.name}, from bars to signals",
    )


def close_job(universe: UniverseConfig, feed: FeedConfig) -> dg.UnresolvedAssetJobDefinition:
    """Ingestion and universe in one run: the daily run after the close."""
    return dg.define_asset_job(
        close_job_name(universe),
        selection=universe_selection(universe) | dg.AssetSelection.assets(*ingest_keys(feed)),
        description=f"Ingest the session and bring {universe.name} up to date",
    )


def signals_job_name(universe: UniverseConfig) -> str:
    """The name of the job that scores the latest sessions again."""
    return f"{universe.name}_signals"


def signals_job(universe: UniverseConfig) -> dg.UnresolvedAssetJobDefinition:
    """The signals of one universe alone: what a new champion changes."""
    return dg.define_asset_job(
        signals_job_name(universe),
        selection=dg.AssetSelection.assets(dg.AssetKey([universe.name, "signals"])),
        description=f"Score the latest sessions of {universe.name} by its champion",
    )


def inbox_job(feed: FeedConfig, universes: Sequence[UniverseConfig]) -> dg.UnresolvedAssetJobDefinition:
    """Ingestion and every universe that reads it, after new files came."""
    selection: dg.AssetSelection = dg.AssetSelection.assets(*ingest_keys(feed))
    for universe in universes:
        selection |= universe_selection(universe)
    return dg.define_asset_job(
        inbox_job_name(feed), selection=selection, description="Take in what lies in the inbox"
    )


def publish_job() -> dg.UnresolvedAssetJobDefinition:
    """The mart and the report over all universes."""
    return dg.define_asset_job(PUBLISH, selection=dg.AssetSelection.assets("mart", "report"))
