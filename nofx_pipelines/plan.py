"""What is fresh and what is not, read from the lake's stamps.

Fresh means: the code version and the inputs recorded with a commit are today's. Sessions are
judged one by one where the table has sessions; a searched stage (study, model) also counts as
fresh within the universe's refresh period as long as only data moved: its code and settings, and
those of the stages above it, are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import polars as pl

from nofx_pipelines.config import Config, FeedConfig, UniverseConfig
from nofx_pipelines.errors import PluginError
from nofx_pipelines.graph import UNIVERSE_STAGES
from nofx_pipelines.lake.incremental import fingerprint
from nofx_pipelines.lake.stamps import fresh
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.market.inbox import with_inbox
from nofx_pipelines.market.stages import ingest_version
from nofx_pipelines.stages import Extent, Stage, StageRun


@dataclass(frozen=True)
class StageState:
    """Whether one stage is fresh, and if not, why."""

    scope: str
    stage: str
    fresh: bool
    reason: str
    stale_sessions: int = 0

    @property
    def key(self) -> str:
        """``scope/stage``, as the UI names the asset."""
        return f"{self.scope}/{self.stage}"


def plan_feed(
    lake: Lake,
    config: Config,
    feed: FeedConfig,
    *,
    start: date,
    end: date,
    now: datetime,
    force: bool = False,
) -> StageState:
    """Whether the feed's sources deliver what was ingested last, with today's code."""
    from nofx_pipelines.market.ingest import pending_sessions

    if force:
        return StageState(feed.scope, feed.source_bars, False, "forced")
    chain = with_inbox(feed, config.home, now)
    version = ingest_version(chain)
    stale = pending_sessions(lake, chain, start=start, end=end, now=now, code_version=version)
    known = lake.table(feed.scope, feed.source_bars).exists()
    why = f"{'sources or code changed' if known else 'never ingested'}: {len(stale)} sessions"
    return StageState(feed.scope, feed.source_bars, not stale, why if stale else "fresh", len(stale))


def plan_universe(
    lake: Lake,
    feed: FeedConfig,
    universe: UniverseConfig,
    *,
    start: date,
    end: date,
    now: datetime,
    force: bool = False,
    feed_fresh: bool = True,
) -> list[StageState]:
    """The state of each stage of ``universe``, in the graph's order."""
    states: dict[str, StageState] = {}
    extent = Extent(lake, universe, feed, start, end, now)
    for stage in UNIVERSE_STAGES:
        above = [each.stage.name for each in stage.reads if not states[each.stage.name].fresh]
        waiting = [feed.source_bars] if stage.by_session and not above and not feed_fresh else above
        try:
            states[stage.name] = _state(stage, extent, waiting, force=force)
        except PluginError as error:  # its own stage says so when it runs; the others go on
            states[stage.name] = _stale(universe, stage, error.problem)
    return list(states.values())


def _state(stage: Stage, extent: Extent, above: list[str], *, force: bool) -> StageState:
    if force:
        return _stale(extent.universe, stage, "forced")
    if stage.by_session:
        return _by_session(stage, extent, above)
    return whole_state(extent.lake, extent.universe, stage, now=extent.now, above=above)


def stage_inputs(lake: Lake, universe: UniverseConfig, stage: Stage) -> str:
    """The fingerprint of the tables that a whole-table stage reads.

    A searched stage's is ``CONTENT/CODE``, with the code version of all stages above: it tells new data,
    which may wait for the next refresh, from changed code or settings, which may not.
    """
    if stage.table_inputs is not None:
        return stage.table_inputs(lake, universe)
    content = fingerprint(lake.table(universe.name, each.stage.table) for each in stage.reads)
    return f"{content}/{stage.version_above(universe)}" if stage.searched else content


def _by_session(stage: Stage, extent: Extent, above: list[str]) -> StageState:
    universe = extent.universe
    if above:
        return _stale(universe, stage, f"{', '.join(above)} will change")
    table = extent.lake.table(universe.name, stage.table)
    if not table.exists():
        return _stale(universe, stage, "never materialised")
    assert stage.session_inputs is not None
    version, stamps = stage.version(universe), table.stamps()
    inputs = stage.session_inputs(extent)
    stale = [day for day, value in inputs.items() if not fresh(stamps.get(day), version, value)]
    if not stale:
        return StageState(universe.name, stage.name, True, "fresh")
    new = sum(day not in stamps for day in stale)
    code = any(day in stamps and stamps[day].code_version != version for day in stale)
    why = "new sessions" if new == len(stale) else "code or settings changed" if code else "inputs changed"
    return StageState(universe.name, stage.name, False, f"{why}: {len(stale)} sessions", len(stale))


def whole_state(
    lake: Lake, universe: UniverseConfig, stage: Stage, *, now: datetime, above: Sequence[str] = ()
) -> StageState:
    """The state of a stage whose table is written as a whole; ``above`` are inputs known to change."""
    table = lake.table(universe.name, stage.table)
    stamp = table.stamp()
    if stamp is None:
        return _stale(universe, stage, "never materialised")
    if stamp.code_version != stage.version(universe):
        return _stale(universe, stage, "code or settings changed")
    reason = stage.why_stale(lake, universe)
    if reason is not None:
        return _stale(universe, stage, reason)
    content, _, code_above = stage_inputs(lake, universe, stage).partition("/")
    recorded, _, recorded_code = stamp.inputs.partition("/")
    if not above and content == recorded:
        return StageState(universe.name, stage.name, True, "fresh")
    if stage.searched and code_above == recorded_code and _waits(table, universe, now):
        return StageState(universe.name, stage.name, True, f"fresh until its {universe.refresh} refresh")
    return _stale(universe, stage, f"{', '.join(above)} will change" if above else "inputs changed")


def bring_up_to_date(stage: Stage, run: StageRun) -> tuple[Any, str | None]:
    """Compute what of ``stage`` is not fresh, all of it where ``run.force`` is set.

    Gives what the computation gives, or the same read from the tables where they are fresh, and why a
    whole table was written or left alone (None for a stage that decides session by session).
    """
    stamped = replace(run, code_version=stage.version(run.universe))
    if stage.stored is None:
        return stage.compute(stamped), None
    state = whole_state(run.lake, run.universe, stage, now=run.now)
    if state.fresh and not run.force:
        return stage.stored(run.lake, run.universe), state.reason
    inputs = stage_inputs(run.lake, run.universe, stage)
    return stage.compute(replace(stamped, inputs=inputs)), state.reason


def _waits(table: LakeTable, universe: UniverseConfig, now: datetime) -> bool:
    """Whether ``now`` lies in the refresh period in which ``table`` was written last."""
    written = table.history().filter(pl.col("kind") == "overwrite")["committed_at"][0]
    period = {"weekly": "%G-W%V", "monthly": "%Y-%m"}.get(universe.refresh)
    return period is not None and format(written, period) == format(now, period)


def _stale(universe: UniverseConfig, stage: Stage, reason: str) -> StageState:
    return StageState(universe.name, stage.name, False, reason)
