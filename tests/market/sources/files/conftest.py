"""Opening files as a feed would, and reading all that they deliver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.config import SourceConfig
from nofx_pipelines.market.sources.files import open_files
from nofx_pipelines.market.sources.files.source import FilesSource

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Delivered:
    source: FilesSource
    bars: pl.DataFrame
    rejects: pl.DataFrame

    def decided(self, matter: str) -> list[str]:
        return [
            f"{each.value} ({each.evidence})" for each in self.source.decisions() if each.matter == matter
        ]


Deliver = Callable[..., Delivered]


@pytest.fixture(scope="session")
def deliver() -> Deliver:
    def opening(
        path: Path, market: str, freq: str, now: datetime = NOW, end: date = date(2030, 1, 1)
    ) -> Delivered:
        start = date(1980, 1, 1)
        config = SourceConfig("files", path)
        source = open_files(config, market=market, freq=freq, start=start, end=end, now=now)
        batches = list(source.batches(start, end))
        return Delivered(
            source,
            pl.concat([batch.bars for batch in batches]),
            pl.concat([batch.rejects for batch in batches]),
        )

    return opening
