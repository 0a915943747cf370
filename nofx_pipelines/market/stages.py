"""The stages that this package computes: a universe's bars, and the version of the ingestion before them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from nofx_pipelines import plugins
from nofx_pipelines.code_version import code_version
from nofx_pipelines.config import FeedConfig
from nofx_pipelines.stages import Extent, Stage, StageRun


def ingest_version(feed: FeedConfig) -> str:
    """The code version of a feed's ingestion; the data's version is the sources' fingerprint."""
    from nofx_pipelines.market.sources import source_modules

    members = {
        (kind, name): plugins.find(kind, name, link.plugins)
        for link in feed.sources
        for kind, names in (("sources", [link.kind]), ("formats", link.formats))
        for name in names
    }
    modules = ["nofx_pipelines.market.ingest"]
    modules += sorted({module for link in feed.sources for module in source_modules(link)})
    settings: dict[str, Any] = {"market": feed.market, "freq": feed.freq}
    brought = {" ".join(key): m.digest() for key, m in members.items() if m.origin != "built-in"}
    return code_version(modules, settings | ({"plugins": brought} if brought else {}))


def _bars(run: StageRun) -> Any:
    from nofx_pipelines.market.bars import refresh_bars

    return refresh_bars(
        run.lake,
        run.universe,
        run.feed,
        start=run.start,
        end=run.end,
        now=run.now,
        force=run.force,
        **run.stamp,
    )


def _bars_inputs(extent: Extent) -> Mapping[date, str]:
    from nofx_pipelines.market.bars import bars_inputs

    return bars_inputs(
        extent.lake, extent.universe, extent.feed, start=extent.start, end=extent.end, now=extent.now
    )


BARS = Stage(
    name="bars",
    table="bars",
    modules=("nofx_pipelines.market.bars",),
    reads=(),
    compute=_bars,
    settings=("market", "freq", "members"),
    session_inputs=_bars_inputs,
)
STAGES = (BARS,)
