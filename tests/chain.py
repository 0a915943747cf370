"""The whole chain over one small simulated universe, in this process, as the assets call it."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from nofx_pipelines.config import (
    Config,
    FeedConfig,
    FoldConfig,
    GateConfig,
    MarlConfig,
    NasConfig,
    SearchConfig,
    SourceConfig,
    UniverseConfig,
)
from nofx_pipelines.graph import STAGES
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.market.stages import ingest_version
from nofx_pipelines.plan import StageState, bring_up_to_date, plan_feed, plan_universe
from nofx_pipelines.registry.tracking import Tracker
from nofx_pipelines.stages import StageRun

LONG_AFTER = datetime(2025, 6, 2, 3, 4, tzinfo=UTC)


@dataclass(frozen=True)
class Chain:
    """A home with one feed and one universe, and its stages."""

    config: Config
    now: datetime = LONG_AFTER

    @property
    def home(self) -> Path:
        return self.config.home

    @property
    def feed(self) -> FeedConfig:
        return self.config.feeds["cn", "1d"]

    @property
    def universe(self) -> UniverseConfig:
        return self.config.universes["cn"]

    @property
    def lake(self) -> Lake:
        return Lake(self.config.lake)

    @property
    def tracker(self) -> Tracker:
        return Tracker(self.home)

    def table(self, name: str) -> LakeTable:
        return self.lake.table("cn", name)

    def copied(self, home: Path) -> Chain:
        """The same in another folder, which it may change."""
        shutil.copytree(self.home, home)
        return dataclasses.replace(self, config=dataclasses.replace(self.config, home=home))

    def at(self, now: datetime) -> Chain:
        return dataclasses.replace(self, now=now)

    def set(self, **changed: Any) -> Chain:
        """The same home after an edit of the universe in its ``nofx.toml``."""
        universe = dataclasses.replace(self.universe, **changed)
        return dataclasses.replace(self, config=dataclasses.replace(self.config, universes={"cn": universe}))

    def plan_feed(self, **options: Any) -> StageState:
        return plan_feed(self.lake, self.config, self.feed, **self._span(), now=self.now, **options)

    def plan(self, **options: Any) -> dict[str, StageState]:
        states = plan_universe(self.lake, self.feed, self.universe, **self._span(), now=self.now, **options)
        return {state.stage: state for state in states}

    def stale(self, **options: Any) -> list[str]:
        return [name for name, state in self.plan(**options).items() if not state.fresh]

    def ingest(self) -> None:
        from nofx_pipelines.market.ingest import ingest

        stamp = {"run_id": "run", "code_version": ingest_version(self.feed)}
        ingest(self.lake, self.feed, **self._span(), now=self.now, **stamp)

    def run(self, *, until: str = "signals") -> list[str]:
        """Run the stages that are not fresh, each planned when its turn comes; their names."""
        ran = []
        for name in STAGES:
            if not self.plan()[name].fresh:
                self.compute(name)
                ran.append(name)
            if name == until:
                break
        return ran

    def compute(self, name: str, **options: Any) -> Any:
        """One stage as its asset runs it; what its computation gives."""
        run = StageRun(
            lake=self.lake,
            universe=self.universe,
            feed=self.feed,
            **self._span(),
            now=self.now,
            home=self.home,
            run_id="run",
            open_tracker=lambda: self.tracker,
            **options,
        )
        return bring_up_to_date(STAGES[name], run)[0]

    def stamp(self, name: str) -> dict[str, str]:
        """What a stage's commits are stamped with."""
        return {"run_id": "run", "code_version": STAGES[name].version(self.universe)}

    def versions(self) -> dict[str, int | None]:
        """The version of every table of the home."""
        return {f"{s}/{n}": self.lake.table(s, n).version() for s, n in self.lake.tables()}

    def _span(self) -> dict[str, date]:
        assert self.feed.end is not None
        return {"start": self.feed.start, "end": self.feed.end}


def small_chain(home: Path) -> Chain:
    """Eight simulated instruments over fourteen months, three folds, three trials."""
    source = SourceConfig(kind="simulated", instruments=8)
    feed = FeedConfig(market="cn", freq="1d", sources=(source,), start=date(2024, 1, 1), end=date(2025, 3, 1))
    universe = UniverseConfig(
        name="cn",
        market="cn",
        freq="1d",
        folds=FoldConfig(count=3),
        search=SearchConfig(trials=3),
        nas=NasConfig(trials=2, epochs=1, rows=500, lookback=3),
        gates=GateConfig(resamples=200),
        marl=MarlConfig(iterations=2, envs=4, window=20, seeds=(7, 8)),
    )
    return Chain(Config(home=home, feeds={("cn", "1d"): feed}, universes={"cn": universe}))
