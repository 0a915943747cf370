"""What ``nofx.toml`` declares: markets' feeds and universes, as frozen, validated dataclasses.

``[markets.M.FREQ]`` holds a chain of sources and the history's start and end: bars are ingested
once per market and frequency. ``[universes.NAME]`` names a market and a frequency and holds its
members, feature sets, labels, budgets, gates and compute. `nofx_pipelines.config_file` reads and
writes the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from nofx_pipelines.home_path import checked_path

MARKETS = ("cn", "hk", "crypto")
FREQS = ("1d", "1h", "30m", "15m", "5m", "1m")

Market = Literal["cn", "hk", "crypto"]
Freq = Literal["1d", "1h", "30m", "15m", "5m", "1m"]
Share = Annotated[float, Field(gt=0, lt=1, examples=[0.5])]
Seed = Annotated[int, Field(ge=0, lt=2**32, examples=[7])]

Name = Annotated[str, Field(min_length=1, max_length=200)]
"""Of a member: a built-in's, an installed package's, or ``"module:attribute"`` (`nofx_pipelines.plugins`)."""
Names = Annotated[tuple[Name, ...], Field(min_length=1)]
OptionValue: TypeAlias = str | int | float | bool

_FROZEN = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


def _sorted_items(value: object) -> object:
    return tuple(sorted(value.items())) if isinstance(value, Mapping) else value


@dataclass(frozen=True, config=_FROZEN)
class SourceConfig:
    """One link of a feed's chain of sources."""

    kind: Annotated[Name, Field(examples=["files"])]
    path: Path | None = None
    """A file or a folder, for ``files``."""
    formats: tuple[Name, ...] = ()
    """Of ``files``: formats that are tried before the built-in ones."""
    options: Annotated[
        tuple[tuple[str, OptionValue], ...],
        BeforeValidator(_sorted_items),
        Field(examples=["{ url = 'https://…' }"]),
    ] = ()
    """Of a plug-in: what it is opened with, a table in the file."""
    plugins: Path | None = None
    """The home's folder of plug-ins; set when the file is read."""
    instruments: Annotated[int, Field(ge=1, le=10_000, examples=[30])] = 30
    seed: Seed = 7
    signal: bool = True
    """False: the simulator plants no signal (for counting false promotions)."""
    anomalies: bool = True


@dataclass(frozen=True, config=_FROZEN)
class FeedConfig:
    """``[markets.M.FREQ]``: bars ingested once per market and frequency; ``[start, end)``.

    Without ``end`` the feed is open: it takes whatever sessions its sources have.
    """

    market: Market
    freq: Freq
    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    start: date
    end: date | None = None

    @property
    def scope(self) -> str:
        """The lake's scope, and the key prefix, of what is ingested."""
        return self.market

    @property
    def source_bars(self) -> str:
        """The name of the ingestion table."""
        return f"source_bars_{self.freq}"


@dataclass(frozen=True, config=_FROZEN)
class LabelConfig:
    """How far a label sees, in bars; barriers at ± ``barrier_sigmas`` · sigma · sqrt(horizon)."""

    kind: Annotated[Name, Field(examples=["triple_barrier"])] = "triple_barrier"
    """What is learned."""
    horizon: Annotated[int, Field(ge=1, le=1_000, examples=[5])] = 5
    sigma_bars: Annotated[int, Field(ge=2, le=10_000, examples=[20])] = 20
    """Bars before its own that a label sees; sigma is taken over them."""
    barrier_sigmas: Annotated[float, Field(gt=0, le=20, examples=[1.0])] = 1.0


@dataclass(frozen=True, config=_FROZEN)
class FoldConfig:
    """Walk-forward folds; the last fold's test is the hold-out."""

    count: Annotated[int, Field(ge=2, le=50, examples=[5])] = 5
    test_fraction: Share = 0.4
    """Of the sessions, for the hold-out: what a gate can tell apart grows with it."""
    embargo_bars: Annotated[int, Field(ge=0, le=10_000, examples=[5])] = 5


@dataclass(frozen=True, config=_FROZEN)
class SearchConfig:
    """The hyper-parameter search's budget."""

    trials: Annotated[int, Field(ge=1, le=100_000, examples=[30])] = 30
    sampler: Annotated[Name, Field(examples=["tpe"])] = "tpe"
    workers: Annotated[int, Field(ge=1, le=256, examples=[2])] = 1
    batch: Annotated[int, Field(ge=1, le=256, examples=[4])] = 4
    """Trials asked together; the same batch and seed give the same trials on any machine."""
    seed: Seed = 7


@dataclass(frozen=True, config=_FROZEN)
class NasConfig:
    """The architecture search's budget."""

    trials: Annotated[int, Field(ge=0, le=100_000, examples=[20])] = 20
    """0: no search, the gradient boosting stands alone."""
    strategy: Annotated[Name, Field(examples=["evolution"])] = "evolution"
    workers: Annotated[int, Field(ge=1, le=256, examples=[2])] = 1
    batch: Annotated[int, Field(ge=1, le=256, examples=[4])] = 4
    lookback: Annotated[int, Field(ge=1, le=32, examples=[10])] = 10
    """Bars of the longest window that a network may read."""
    epochs: Annotated[int, Field(ge=1, le=1_000, examples=[3])] = 3
    """Of a trial; finalists are trained twice as long, on all rows."""
    rows: Annotated[int, Field(ge=100, le=10_000_000, examples=[5000])] = 5_000
    """Train rows of a trial, at most."""
    seed: Seed = 7


@dataclass(frozen=True, config=_FROZEN)
class AnomalyConfig:
    """The anomaly detectors and their alert budget."""

    detectors: Annotated[Names, Field(examples=[["robust_z", "rules"]])] = (
        "robust_z",
        "ewma",
        "isolation_forest",
        "rules",
    )
    budget: Annotated[float, Field(gt=0, le=1, examples=[0.05])] = 0.05
    """Alerts an instrument and session, at most, on average."""
    seed: Seed = 7


@dataclass(frozen=True, config=_FROZEN)
class MarlConfig:
    """How the team of agents is trained."""

    algorithm: Annotated[Name, Field(examples=["mappo"])] = "mappo"
    task: Annotated[Name, Field(examples=["trading"])] = "trading"
    """The floor that they act on."""
    roles: Annotated[Names, Field(examples=[["trend_follower", "risk_manager"]])] = (
        "market_maker",
        "trend_follower",
        "mean_reversion",
        "arbitrageur",
        "hedger",
        "sentiment_analyst",
        "portfolio_manager",
        "risk_manager",
    )
    rewards: Annotated[Names, Field(examples=[["role"]])] = ("role",)
    """Added up for each agent and bar; ``role``: what each role itself is paid for."""
    iterations: Annotated[int, Field(ge=1, le=1_000_000, examples=[16])] = 16
    """Rollouts of every copy, each followed by an improvement."""
    envs: Annotated[int, Field(ge=2, le=65_536, examples=[64])] = 64
    """Copies of the trading floor that are stepped together."""
    window: Annotated[int, Field(ge=5, le=10_000, examples=[32])] = 32
    """Bars of an episode."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=64, examples=[[7, 8]])] = (7, 8)
    """One training each; the first one's team is registered, all are judged."""


@dataclass(frozen=True, config=_FROZEN)
class OnlineConfig:
    """The online store of features."""

    ttl_minutes: Annotated[int, Field(ge=1, le=10_000_000, examples=[5760])] | None = None
    """Age from which a vector is stale; None: four days for daily bars, one for others."""
    backend: Literal["mapped", "lmdb", "redis"] = "mapped"
    """A memory-mapped file, an LMDB file (every put on disk before it returns), or Redis (many machines)."""
    limit_mib: Annotated[int, Field(ge=1, le=1_000_000, examples=[512])] | None = None
    """Room for vectors; the least recently used leave when it is full. None: no limit."""
    namespace: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$", examples=["nofx"])] = "nofx"
    """The prefix of the keys in Redis: one a home, where homes share a server."""


@dataclass(frozen=True, config=_FROZEN)
class GateConfig:
    """What a candidate must pass to take ``@champion``."""

    use: Annotated[Names, Field(examples=[["rank_ic_interval", "leak_check"]])] = (
        "rank_ic_interval",
        "paired_difference",
        "net_sharpe",
        "deflated_sharpe",
        "fold_share",
        "leak_check",
    )
    """The gates, in the order in which they are reported; ``leak_check`` is always among them."""
    confidence: Annotated[float, Field(ge=0.5, lt=1, examples=[0.95])] = 0.95
    deflated_sharpe: Annotated[float, Field(ge=0, le=1, examples=[0.95])] = 0.95
    fold_share: Annotated[float, Field(ge=0, le=1, examples=[0.6])] = 0.6
    resamples: Annotated[int, Field(ge=100, le=1_000_000, examples=[2000])] = 2_000
    seed: Seed = 7


@dataclass(frozen=True, config=_FROZEN)
class ComputeConfig:
    """Where heavy steps run."""

    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    memory_share: Annotated[float, Field(gt=0, le=1, examples=[0.8])] = 0.8
    deterministic: bool = True


@dataclass(frozen=True, config=_FROZEN)
class UniverseConfig:
    """``[universes.NAME]``: members, feature sets, labels, budgets, gates and compute."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", examples=["csi300_1d"])]
    market: Market
    freq: Freq
    members: Annotated[tuple[str, ...], Field(min_length=1, examples=[["all"]])] = ("all",)
    features: Annotated[Names, Field(examples=[["technical"]])] = ("technical",)
    families: Annotated[Names, Field(examples=[["ridge", "gbdt", "network"]])] = ("ridge", "gbdt", "network")
    """Model families that contend; ``ridge`` is the baseline and always among them."""
    labels: LabelConfig = Field(default_factory=LabelConfig)
    folds: FoldConfig = Field(default_factory=FoldConfig)
    search: SearchConfig = Field(default_factory=SearchConfig)
    nas: NasConfig = Field(default_factory=NasConfig)
    gates: GateConfig = Field(default_factory=GateConfig)
    anomaly: AnomalyConfig = Field(default_factory=AnomalyConfig)
    marl: MarlConfig = Field(default_factory=MarlConfig)
    online: OnlineConfig = Field(default_factory=OnlineConfig)
    compute: ComputeConfig = Field(default_factory=ComputeConfig)
    refresh: Literal["weekly", "monthly", "always"] = "weekly"
    """The period within which searches and models count as fresh although bars came."""
    plugins: Path | None = None
    """The home's folder of plug-ins; set when the file is read."""

    @property
    def model_name(self) -> str:
        """The registry's name of this universe's signal model."""
        return f"nofx-signal-{self.name}"

    @property
    def agents_name(self) -> str:
        """The registry's name of this universe's team of agents."""
        return f"nofx-agents-{self.name}"


@dataclass(frozen=True, config=_FROZEN)
class Config:
    """The whole of ``nofx.toml`` and the home it belongs to."""

    home: Path
    feeds: Mapping[tuple[str, str], FeedConfig]
    universes: Mapping[str, UniverseConfig]

    def feed_of(self, universe: UniverseConfig) -> FeedConfig:
        """The feed that a universe's bars come from."""
        return self.feeds[universe.market, universe.freq]

    @property
    def lake(self) -> Path:
        """Where the tables lie."""
        return self.home / "lake"


def resolve_home(home: Path | str | None = None) -> Path:
    """The folder of all state: ``home``, else ``$NOFX_HOME``, else ``.nofx`` here.

    `ConfigError` for a path that storage libraries misread (`home_path.checked_path`).

    >>> resolve_home("/srv/nofx").as_posix()
    '/srv/nofx'
    """
    return checked_path(Path(home or os.environ.get("NOFX_HOME") or ".nofx").expanduser().resolve())
