"""Simulated sources for the tests, cached by their parameters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache

import polars as pl
import pytest

from nofx_pipelines.config import SourceConfig
from nofx_pipelines.market.sources.simulated import SimulatedSource, open_simulated

NOW = datetime(2025, 6, 1, tzinfo=UTC)

Open = Callable[..., SimulatedSource]


@pytest.fixture(scope="session")
def simulate() -> Open:
    """Open a simulated source; three years of thirty daily instruments unless told."""

    @lru_cache(maxsize=64)
    def opened(
        market: str = "cn",
        freq: str = "1d",
        *,
        seed: int = 7,
        start: date = date(2022, 1, 1),
        end: date = date(2025, 1, 1),
        instruments: int = 30,
        signal: bool = True,
        anomalies: bool = False,
        now: datetime = NOW,
    ) -> SimulatedSource:
        config = SourceConfig(
            "simulated", instruments=instruments, seed=seed, signal=signal, anomalies=anomalies
        )
        return open_simulated(config, market=market, freq=freq, start=start, end=end, now=now)

    return opened


@pytest.fixture(scope="session")
def bars_of() -> Callable[[SimulatedSource], pl.DataFrame]:
    """All bars of a source, walked once."""

    @lru_cache(maxsize=64)
    def walked(source: SimulatedSource) -> pl.DataFrame:
        return pl.concat([batch.bars for batch in source.batches(*source.span())])

    return walked
