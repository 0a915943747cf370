"""Bars from files, recognised by their content."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nofx_pipelines.config import SourceConfig
from nofx_pipelines.market.sources import SourceKind

if TYPE_CHECKING:
    from nofx_pipelines.market.sources.files.description import Description
    from nofx_pipelines.market.sources.files.source import FilesSource


def open_files(
    config: SourceConfig, *, market: str, freq: str, start: date, end: date, now: datetime
) -> FilesSource:
    """The source of what lies under ``config.path``; see ``source.open_files``."""
    from nofx_pipelines.market.sources.files.source import open_files as opening

    return opening(config, market=market, freq=freq, start=start, end=end, now=now)


def describe(path: Path, *, now: datetime) -> Description:
    """What lies under ``path``, with market and frequency guessed; see ``description.describe``."""
    from nofx_pipelines.market.sources.files.description import describe as describing

    return describing(path, now=now)


class Files:
    """``{ kind = "files", path = "…" }``."""

    def open(
        self, config: SourceConfig, *, market: str, freq: str, start: date, end: date, now: datetime
    ) -> FilesSource:
        """See `open_files`."""
        return open_files(config, market=market, freq=freq, start=start, end=end, now=now)


SOURCE: SourceKind = Files()
