"""What a stage of a universe is: what it reads, how it is computed, and what its freshness depends on.

A stage (``cn/features``) is an asset key ``[universe, name]``; its output is the Delta table of the same
scope and of ``table``. Each package declares the stages that it computes in a module ``stages`` of its own;
`graph` collects them for assets, planner and tests alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from nofx_pipelines import plugins
from nofx_pipelines.code_version import code_version
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.engine import Engine
from nofx_pipelines.lake.store import Lake


@dataclass(frozen=True)
class Extent:
    """Of which universe and dates, by when."""

    lake: Lake
    universe: UniverseConfig
    feed: FeedConfig
    start: date
    end: date
    """The day after the last."""
    now: datetime


@dataclass(frozen=True)
class StageRun(Extent):
    """What a stage is computed with."""

    home: Path
    run_id: str
    open_tracker: Callable[[], Any]
    """Gives the home's ``registry.tracking.Tracker``; called by stages that log or register."""
    force: bool = False
    """Compute what is fresh, too."""
    device: str = "cpu"
    engine: Engine | None = None
    code_version: str = ""
    inputs: str = ""
    """The fingerprint of what is read; of a stage whose table is written as a whole."""

    @property
    def stamp(self) -> dict[str, Any]:
        """What a commit of sessions is stamped with besides their own inputs."""
        return {"run_id": self.run_id, "code_version": self.code_version}

    @property
    def table_stamp(self) -> dict[str, Any]:
        """What a commit of a whole table is stamped with."""
        return {**self.stamp, "inputs": self.inputs}


@dataclass(frozen=True)
class Reads:
    """A stage that another one reads, and which of its partitions."""

    stage: Stage
    whole: bool = False
    """Every partition."""
    back: int = 0
    """Partitions before the own one: a lookback."""
    ahead: int = 0
    """Partitions after the own one: a label's horizon."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage: its place in the graph, its computation, and what its freshness depends on."""

    name: str
    table: str
    """The table whose commits say what the stage wrote, from what, with which code."""
    modules: tuple[str, ...]
    """The modules that compute it: their sources make its code version."""
    reads: tuple[Reads, ...]
    """The stages of the same universe that it reads."""
    compute: Callable[[StageRun], Any]
    """Brings the table up to date; what it gives is shown by the stage's asset."""
    settings: tuple[str, ...] = ()
    """Fields of the universe's configuration that it reads, ``gates.seed`` for one."""
    members: Callable[[UniverseConfig], Iterable[tuple[str, str]]] = lambda universe: ()
    """Kind and name of the members that compute it: their sources are part of its code version."""
    stored: Callable[[Lake, UniverseConfig], Any] | None = None
    """What `compute` would give, read from the tables; None where `compute` leaves alone what is fresh."""
    session_inputs: Callable[[Extent], Mapping[date, str]] | None = None
    """What each session would be computed from; where given, sessions are fresh or not one by one."""
    table_inputs: Callable[[Lake, UniverseConfig], str] | None = None
    """The fingerprint of what a whole table is made from; None: the contents of the tables it reads."""
    why_stale: Callable[[Lake, UniverseConfig], str | None] = lambda lake, universe: None
    """Why it is not fresh although code and inputs are the recorded ones."""
    partitioned: bool | None = None
    """Whether the asset has partitions; as ``by_session`` unless said otherwise."""
    searched: bool = False
    """Counts as fresh within the universe's refresh period although new data came."""

    @property
    def by_session(self) -> bool:
        """Whether sessions are fresh or not one by one; otherwise the table is, as a whole."""
        return self.session_inputs is not None

    @property
    def has_partitions(self) -> bool:
        """Whether the stage's asset is partitioned."""
        return self.by_session if self.partitioned is None else self.partitioned

    @property
    def follows_refresh(self) -> bool:
        """Whether it changes with the searches' refresh rather than with each close."""
        above = [each.stage.follows_refresh for each in self.reads]
        return self.searched or (bool(above) and all(above))

    def version(self, universe: UniverseConfig) -> str:
        """The code version of this stage in ``universe``: sources, members' sources and settings."""
        members = [plugins.find(kind, name, universe.plugins) for kind, name in self.members(universe)]
        own = [member.module for member in members if member.origin == "built-in"]
        settings = {name: _setting(universe, name) for name in self.settings}
        brought = {f"{m.kind.name} {m.name}": m.digest() for m in members if m.origin != "built-in"}
        if brought:
            settings["plugins"] = brought
        return code_version((*self.modules, *own), settings)

    def version_above(self, universe: UniverseConfig) -> str:
        """The code version of everything that this stage is made from, over all stages above it."""
        return code_version((), {stage.name: stage.version(universe) for stage in self.above()})

    def above(self) -> tuple[Stage, ...]:
        """The stages that this one reads, and those that they read, each after what it reads."""
        ordered: dict[str, Stage] = {}
        for each in self.reads:
            ordered |= {stage.name: stage for stage in (*each.stage.above(), each.stage)}
        return tuple(ordered.values())


def _setting(universe: UniverseConfig, name: str) -> Any:
    value: Any = universe
    for part in name.split("."):
        value = getattr(value, part)
    return value
