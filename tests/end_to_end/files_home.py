"""Made files of daily bars, and a home that reads them: small enough to run in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np

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
from nofx_pipelines.config_file import render_config
from nofx_pipelines.market.sessions import calendar

SYMBOLS = ("600519.SH", "601318.SH", "600036.SH", "000001.SZ", "000002.SZ", "000333.SZ")
HEADER = "symbol,session_date,open,high,low,close,volume,amount"


def rows_of(days: Sequence[date], symbols: Sequence[str] = SYMBOLS, seed: int = 5) -> list[str]:
    """A CSV line a symbol and day; the same seed and first day give the same lines however many follow."""
    lines = []
    for place, symbol in enumerate(symbols):
        rng = np.random.default_rng([seed, place])
        close = 20.0 + 10 * place
        for day in days:
            step, spread, volume = rng.normal(0, 0.01), rng.uniform(0.002, 0.01), rng.integers(100, 9_000)
            before, close = close, round(close * float(np.exp(step)), 2)
            high, low = (
                round(max(before, close) * (1 + spread), 2),
                round(min(before, close) * (1 - spread), 2),
            )
            shares = int(volume) * 100
            amount = shares * (high + low) / 2
            lines.append(
                f"{symbol},{day},{before:.2f},{high:.2f},{low:.2f},{close:.2f},{shares},{amount:.2f}"
            )
    return lines


def write_csv(path: Path, lines: Sequence[str], header: str = HEADER) -> Path:
    """A file of ``lines`` under ``header``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def sessions(start: date, end: date) -> list[date]:
    """The sessions of Shanghai and Shenzhen in ``[start, end)``."""
    return list(calendar("cn").sessions(start, end))


def files_config(home: Path, source: Path, start: date) -> Config:
    """One universe ``shares`` over the files under ``source``, with small budgets."""
    feed = FeedConfig(market="cn", freq="1d", sources=(SourceConfig(kind="files", path=source),), start=start)
    universe = UniverseConfig(
        name="shares",
        market="cn",
        freq="1d",
        folds=FoldConfig(count=2),
        search=SearchConfig(trials=1),
        nas=NasConfig(trials=2, epochs=1, rows=500, lookback=3),
        marl=MarlConfig(iterations=1, envs=4, window=10, seeds=(7,)),
        gates=GateConfig(resamples=100),
    )
    return Config(home=home, feeds={("cn", "1d"): feed}, universes={"shares": universe})


def write_home(home: Path, source: Path, start: date) -> None:
    """``home`` with a ``nofx.toml`` for `files_config`."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "nofx.toml").write_text(render_config(files_config(home, source, start)), encoding="utf-8")
