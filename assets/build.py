"""All definitions of a configuration: the graph, its jobs, schedules, sensors and resources."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dagster as dg

from assets import ingestion, jobs, mart, report
from assets.executor import run_executor
from assets.investigation import critical_sensor, investigation_job
from assets.progress import NAME, progress_logger
from assets.schedules import close_schedule, revision_schedule
from assets.sensors import champion_sensor, inbox_sensor
from assets.stage import build_stage
from nofx_pipelines.config import Config, FeedConfig, UniverseConfig
from nofx_pipelines.config_file import load_usable, with_seed
from nofx_pipelines.errors import NofxError
from nofx_pipelines.graph import UNIVERSE_STAGES
from nofx_pipelines.markdown import escape
from nofx_pipelines.market.inbox import takes_files
from resources.compute import ComputeResource
from resources.engine import EngineResource
from resources.lake import LakeResource
from resources.online import OnlineStoreResource
from resources.sources import SourcesResource
from resources.tracker import TrackerResource


def configuration(home: Path) -> Config:
    """What can be used of the configuration under ``home``, ``$NOFX_SEED`` in its seeds' place where set."""
    config, _ = load_usable(home)
    seed = os.environ.get("NOFX_SEED")
    return with_seed(config, int(seed)) if seed else config


def home_definitions(home: Path) -> dg.Definitions:
    """All definitions of a home; what cannot be used of its configuration is an asset that says why."""
    try:
        _, refused = load_usable(home)
        definitions = build_definitions(configuration(home))
    except NofxError as error:
        return config_error_definitions(str(error))
    if not refused:
        return definitions
    said = "\n\n".join(f"{name}: {error}" for name, error in refused.items())
    return dg.Definitions.merge(definitions, config_error_definitions(said))


def build_definitions(config: Config, **overrides: Any) -> dg.Definitions:
    """The definitions of ``config``; ``overrides`` replace resources by name (tests)."""
    feeds = list(config.feeds.values())
    universes = [(universe, config.feed_of(universe)) for universe in config.universes.values()]
    return dg.Definitions(
        assets=[*_ingestion(feeds), *_universes(universes), mart.build(config), report.build(config)],
        jobs=[
            *(jobs.ingest_job(feed) for feed in feeds),
            *(jobs.universe_job(universe) for universe, _ in universes),
            *(jobs.close_job(universe, feed) for universe, feed in universes),
            *(jobs.inbox_job(feed, _behind(config, feed)) for feed in feeds if takes_files(feed)),
            *(jobs.signals_job(universe) for universe, _ in universes),
            *(investigation_job(universe, feed, config.home) for universe, feed in universes),
            jobs.publish_job(),
        ],
        schedules=[
            *(close_schedule(universe, feed) for universe, feed in universes),
            *(revision_schedule(universe, feed, config.home, config.lake) for universe, feed in universes),
        ],
        sensors=[
            *(inbox_sensor(feed, config.home) for feed in feeds if takes_files(feed)),
            *(critical_sensor(universe, config.lake) for universe, _ in universes),
            *(champion_sensor(universe, config.home) for universe, _ in universes),
        ],
        resources={**resources_of(config), **overrides},
        loggers={NAME: progress_logger},
        executor=run_executor(),
    )


def resources_of(config: Config) -> dict[str, Any]:
    """The resources of a home."""
    home = str(config.home)
    return {
        "lake": LakeResource(root=str(config.lake)),
        "sources": SourcesResource(home=home),
        "tracker": TrackerResource(home=home),
        "compute": ComputeResource(),
        "engine": EngineResource(),
        "online": OnlineStoreResource(home=home),
    }


def config_error_definitions(message: str) -> dg.Definitions:
    """One asset that says what is wrong with ``nofx.toml``, where a traceback would be shown."""

    @dg.asset(name="CONFIG_ERROR", description=escape(message), group_name="configuration")
    def config_error() -> None:
        raise dg.Failure(description=message)

    return dg.Definitions(assets=[config_error])


def _ingestion(feeds: list[FeedConfig]) -> list[dg.AssetsDefinition]:
    by_market: dict[str, list[FeedConfig]] = {}
    for feed in feeds:
        by_market.setdefault(feed.market, []).append(feed)
    return [
        *(ingestion.build_instruments(group) for group in by_market.values()),
        *(ingestion.build_source_bars(feed) for feed in feeds),
    ]


def _universes(universes: list[tuple[UniverseConfig, FeedConfig]]) -> list[dg.AssetsDefinition]:
    return [build_stage(stage, universe, feed) for universe, feed in universes for stage in UNIVERSE_STAGES]


def _behind(config: Config, feed: FeedConfig) -> list[UniverseConfig]:
    return [u for u in config.universes.values() if config.feed_of(u) == feed]
