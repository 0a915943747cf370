"""What is fresh and what is not, read from the lake's stamps.

Fresh means: the code version and the inputs recorded with a commit are today's. Sessions are
judged one by one where the table has sessions; a searched stage (study, model) also counts as
fresh within the universe's refresh period as long as only data moved: its code and settings, and
those of the stages above it, are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from nofx_pipelines.config import Config, FeedConfig, UniverseConfig
from nofx_pipelines.lake.incremental import fingerprint
from nofx_pipelines.lake.stamps import fresh
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.market.inbox import with_inbox
from nofx_pipelines.stages import STAGES, UNIVERSE_STAGES, Stage, ingest_version


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
    for stage in UNIVERSE_STAGES:
        above = [name for name in stage.upstream if not states[name].fresh]
        if force:
            state = _stale(universe, stage, "forced")
        elif stage.by_session:
            waiting = "" if feed_fresh else feed.source_bars
            above = above or ([waiting] if waiting else [])
            state = _by_session(lake, feed, universe, stage, start, end, now, above)
        else:
            state = whole_state(lake, universe, stage, now=now, above=above)
        states[stage.name] = state
    return list(states.values())


def stage_inputs(lake: Lake, universe: UniverseConfig, stage: Stage) -> str:
    """The fingerprint of the tables that a whole-table stage reads.

    A searched stage's is ``CONTENT/CODE``, with the code version of all stages above: it tells new data,
    which may wait for the next refresh, from changed code or settings, which may not.
    """
    if stage.name == "training_set":
        from nofx_pipelines.labels.training_set import training_inputs

        return training_inputs(lake, universe)
    if stage.name == "anomaly_clusters":
        from nofx_pipelines.anomaly.refresh import cluster_inputs

        return cluster_inputs(lake, universe)
    content = fingerprint(lake.table(universe.name, STAGES[name].table) for name in stage.upstream)
    return f"{content}/{stage.version_above(universe)}" if stage.searched else content


def _by_session(
    lake: Lake,
    feed: FeedConfig,
    universe: UniverseConfig,
    stage: Stage,
    start: date,
    end: date,
    now: datetime,
    above: list[str],
) -> StageState:
    if above:
        return _stale(universe, stage, f"{', '.join(above)} will change")
    table = lake.table(universe.name, stage.table)
    if not table.exists():
        return _stale(universe, stage, "never materialised")
    version, stamps = stage.version(universe), table.stamps()
    inputs = _session_inputs(lake, feed, universe, stage, start, end, now)
    stale = [day for day, value in inputs.items() if not fresh(stamps.get(day), version, value)]
    if not stale:
        return StageState(universe.name, stage.name, True, "fresh")
    new = sum(day not in stamps for day in stale)
    code = any(day in stamps and stamps[day].code_version != version for day in stale)
    why = "new sessions" if new == len(stale) else "code or settings changed" if code else "inputs changed"
    return StageState(universe.name, stage.name, False, f"{why}: {len(stale)} sessions", len(stale))


def _session_inputs(
    lake: Lake,
    feed: FeedConfig,
    universe: UniverseConfig,
    stage: Stage,
    start: date,
    end: date,
    now: datetime,
) -> Mapping[date, str]:
    """What each session of the stage would be computed from, by the stage's own rule."""
    match stage.name:
        case "bars":
            from nofx_pipelines.market.bars import bars_inputs

            return bars_inputs(lake, universe, feed, start=start, end=end, now=now)
        case "features":
            from nofx_pipelines.features.execution.refresh import feature_inputs

            return feature_inputs(lake, universe, feed, start, end)
        case "anomaly_scores":
            from nofx_pipelines.anomaly.refresh import score_inputs

            return score_inputs(lake, universe, start=start, end=end)
        case "labels":
            from nofx_pipelines.labels.refresh import label_inputs

            return label_inputs(lake, universe, start=start, end=end, known_until=now)
        case _:
            from nofx_pipelines.promotion.signals import signal_inputs

            return signal_inputs(lake, universe)


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
    if stage.name == "training_set" and not _leak_free(lake, universe):
        return _stale(universe, stage, "its leak check did not pass")
    lacking = _lacking_online(lake, universe) if stage.name == "online_features" else None
    if lacking is not None:
        return _stale(universe, stage, lacking)
    content, _, code_above = stage_inputs(lake, universe, stage).partition("/")
    known, _, code_known = stamp.inputs.partition("/")
    if not above and content == known:
        return StageState(universe.name, stage.name, True, "fresh")
    if stage.searched and code_above == code_known and _waits(table, universe, now):
        return StageState(universe.name, stage.name, True, f"fresh until its {universe.refresh} refresh")
    return _stale(universe, stage, f"{', '.join(above)} will change" if above else "inputs changed")


def _leak_free(lake: Lake, universe: UniverseConfig) -> bool:
    from nofx_pipelines.leakcheck.refresh import leak_check_passed

    return leak_check_passed(lake, universe) is True


def _lacking_online(lake: Lake, universe: UniverseConfig) -> str | None:
    from nofx_pipelines.features.online.refresh import why_not_handed_over

    return why_not_handed_over(lake, lake.root.parent, universe)


def _waits(table: LakeTable, universe: UniverseConfig, now: datetime) -> bool:
    """Whether ``now`` lies in the refresh period in which ``table`` was written last."""
    written = table.history().filter(pl.col("kind") == "overwrite")["committed_at"][0]
    period = {"weekly": "%G-W%V", "monthly": "%Y-%m"}.get(universe.refresh)
    return period is not None and format(written, period) == format(now, period)


def _stale(universe: UniverseConfig, stage: Stage, reason: str) -> StageState:
    return StageState(universe.name, stage.name, False, reason)
