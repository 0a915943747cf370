"""What is fresh and what is not, read from the lake's stamps.

Fresh means: the code version and the inputs recorded with a commit are today's. Sessions are
judged one by one where the table has sessions; a searched stage (study, model, champion) also
counts as fresh within the universe's refresh period as long as its code is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from nofx_pipelines.config import Config, FeedConfig, UniverseConfig
from nofx_pipelines.lake.stamps import fresh
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.inbox import with_inbox
from nofx_pipelines.stages import STAGES, UNIVERSE_STAGES, Stage, ingest_version

SessionInputs = Callable[[Lake, UniverseConfig, FeedConfig, date, date], Mapping[date, str]]


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
    from nofx_pipelines.market.ingest import pending_sources

    if force:
        return StageState(feed.scope, feed.source_bars, False, "forced")
    chain = with_inbox(feed, config.home)
    why = pending_sources(lake, chain, start=start, end=end, now=now, code_version=ingest_version(chain))
    return StageState(feed.scope, feed.source_bars, why is None, why or "fresh")


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
    for stage in UNIVERSE_STAGES:
        above = [name for name in stage.upstream if not states[name].fresh]
        if force:
            state = _stale(universe, stage, "forced")
        elif stage.by_session:
            waiting = "" if feed_fresh else feed.source_bars
            state = _by_session(lake, feed, universe, stage, start, end, above or [w for w in [waiting] if w])
        else:
            state = _whole(lake, universe, stage, above, now)
        states[stage.name] = state
    return list(states.values())


def stage_inputs(lake: Lake, universe: UniverseConfig, stage: Stage) -> str:
    """The fingerprint of the tables that a whole-table stage reads: their contents, by name."""
    parts = []
    for name in stage.upstream:
        stamp = lake.table(universe.name, STAGES[name].table).stamp()
        parts.append(f"{name}={stamp.content if stamp else ''}")
    return ";".join(parts)


def _by_session(
    lake: Lake,
    feed: FeedConfig,
    universe: UniverseConfig,
    stage: Stage,
    start: date,
    end: date,
    above: list[str],
) -> StageState:
    if above:
        return _stale(universe, stage, f"{', '.join(above)} will change")
    version = stage.version(universe)
    stamps = lake.table(universe.name, stage.table).stamps()
    inputs = _session_inputs(stage)(lake, universe, feed, start, end)
    stale = [day for day, value in inputs.items() if not fresh(stamps.get(day), version, value)]
    if not stale:
        return StageState(universe.name, stage.name, True, "fresh")
    new = sum(day not in stamps for day in stale)
    code = any(day in stamps and stamps[day].code_version != version for day in stale)
    why = "new sessions" if new == len(stale) else "code changed" if code else "inputs changed"
    return StageState(universe.name, stage.name, False, f"{why}: {len(stale)} sessions", len(stale))


def _session_inputs(stage: Stage) -> SessionInputs:
    if stage.name == "bars":
        from nofx_pipelines.market.bars import bars_inputs

        return bars_inputs
    if stage.name == "features":
        from nofx_pipelines.features.refresh import feature_inputs

        return feature_inputs
    from nofx_pipelines.labels.refresh import label_inputs

    return label_inputs


def _whole(lake: Lake, universe: UniverseConfig, stage: Stage, above: list[str], now: datetime) -> StageState:
    table = lake.table(universe.name, stage.table)
    stamp = table.stamp()
    if stamp is None:
        return _stale(universe, stage, "never materialised")
    if stamp.code_version != stage.version(universe):
        return _stale(universe, stage, "code or settings changed")
    moved = bool(above) or stamp.inputs != stage_inputs(lake, universe, stage)
    if not moved:
        return StageState(universe.name, stage.name, True, "fresh")
    if stage.searched and _period(table.committed_at(), universe) == _period(now, universe) != "":
        return StageState(universe.name, stage.name, True, f"fresh until its {universe.refresh} refresh")
    return _stale(universe, stage, f"{', '.join(above)} will change" if above else "inputs changed")


def _period(moment: datetime | None, universe: UniverseConfig) -> str:
    if moment is None or universe.refresh == "always":
        return ""
    return f"{moment:%G-W%V}" if universe.refresh == "weekly" else f"{moment:%Y-%m}"


def _stale(universe: UniverseConfig, stage: Stage, reason: str) -> StageState:
    return StageState(universe.name, stage.name, False, reason)
