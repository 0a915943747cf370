"""What ``nofx.toml`` declares: markets' feeds and universes, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

MARKETS = ("cn", "hk", "crypto")
FREQS = ("1d", "1h", "30m", "15m", "5m", "1m")


@dataclass(frozen=True)
class SourceConfig:
    """One link of a feed's chain of sources."""

    kind: Literal["simulated", "files"]
    path: Path | None = None
    """A file or a folder, for ``files``."""
    instruments: int = 30
    seed: int = 7
    signal: bool = True
    """False: the simulator plants no signal (for counting false promotions)."""
    anomalies: bool = True


@dataclass(frozen=True)
class FeedConfig:
    """``[markets.M.FREQ]``: bars ingested once per market and frequency; ``[start, end)``."""

    market: str
    freq: str
    sources: tuple[SourceConfig, ...]
    start: date
    end: date


@dataclass(frozen=True)
class LabelConfig:
    """Horizon in bars; barriers at ± ``barrier_sigmas`` · sigma · sqrt(horizon)."""

    horizon: int = 5
    sigma_bars: int = 20
    barrier_sigmas: float = 1.0


@dataclass(frozen=True)
class FoldConfig:
    """Walk-forward folds; the last fold's test is the hold-out."""

    count: int = 5
    test_fraction: float = 0.3
    embargo_bars: int = 5


@dataclass(frozen=True)
class SearchConfig:
    """The hyper-parameter search's budget."""

    trials: int = 30
    workers: int = 1
    batch: int = 4
    """Trials asked together; the same batch and seed give the same trials on any machine."""
    seed: int = 7


@dataclass(frozen=True)
class GateConfig:
    """What a candidate must pass to take ``@champion``."""

    confidence: float = 0.95
    deflated_sharpe: float = 0.95
    fold_share: float = 0.6
    resamples: int = 2_000
    seed: int = 7


@dataclass(frozen=True)
class ComputeConfig:
    """Where heavy steps run."""

    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    memory_share: float = 0.8
    deterministic: bool = True


@dataclass(frozen=True)
class UniverseConfig:
    """``[universes.NAME]``: members, feature sets, labels, budgets, gates and compute."""

    name: str
    market: str
    freq: str
    members: tuple[str, ...] = ("all",)
    features: tuple[str, ...] = ("technical",)
    labels: LabelConfig = field(default_factory=LabelConfig)
    folds: FoldConfig = field(default_factory=FoldConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    gates: GateConfig = field(default_factory=GateConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    refresh: Literal["weekly", "monthly", "always"] = "weekly"


@dataclass(frozen=True)
class Config:
    """The whole of ``nofx.toml`` and the home it belongs to."""

    home: Path
    feeds: dict[tuple[str, str], FeedConfig]
    universes: dict[str, UniverseConfig]
