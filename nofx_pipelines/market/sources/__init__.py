"""Where bars come from: one small protocol, and the function that opens what ``nofx.toml`` names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

import polars as pl

from nofx_pipelines.config import SourceConfig
from nofx_pipelines.errors import ConfigError


@dataclass(frozen=True)
class SourceBatch:
    """Bars and rejected rows of one read, small enough to hold in memory.

    ``bars`` has the columns of ``SOURCE_BARS`` without ``revision`` (a missing ``row_hash``,
    ``prev_close`` or ``is_final`` is filled in by ingestion); ``rejects`` those of ``QUARANTINE``
    without ``run_id``.
    """

    bars: pl.DataFrame
    rejects: pl.DataFrame


@dataclass(frozen=True)
class Decision:
    """One thing that a source recognised in its input, shown by ``nofx init``.

    ``matter`` is what was decided (``format``, ``labels``, ``volume unit``, ``time zone``,
    ``price_basis``, ``gaps`` …), ``value`` how, ``evidence`` what spoke for it.
    """

    subject: str
    """The file (or the simulator) that it is about."""
    matter: str
    value: str
    evidence: str = ""


class Source(Protocol):
    """Anything that delivers bars of one market and frequency in bounded batches."""

    @property
    def name(self) -> str:
        """What stands in the column ``source``: ``simulated``, ``files``."""

    def instruments(self) -> pl.DataFrame:
        """The instruments delivered, columns of ``INSTRUMENTS``."""

    def batches(self, start: date, end: date) -> Iterator[SourceBatch]:
        """Bars of the sessions in ``[start, end)``, in batches of bounded size."""

    def corporate_actions(self) -> pl.DataFrame:
        """Dividends, bonus and rights issues, splits; columns of ``CORPORATE_ACTIONS``; may be empty."""

    def truth(self) -> dict[str, pl.DataFrame]:
        """What was planted, by table name; ``{}`` for real data."""

    def fingerprint(self) -> str:
        """A hex string that changes whenever what would be delivered changes."""

    def span(self) -> tuple[date, date]:
        """``[first session, last session + 1 day)``."""

    def decisions(self) -> list[Decision]:
        """What was recognised, and why."""


def open_source(
    config: SourceConfig, *, market: str, freq: str, start: date, end: date, now: datetime
) -> Source:
    """Open one link of a feed's chain.

    Raises ``ConfigError`` for an unknown kind.
    """
    if config.kind == "files":
        from nofx_pipelines.market.sources.files import open_files

        return open_files(config, market=market, freq=freq, start=start, end=end, now=now)
    if config.kind == "simulated":
        from nofx_pipelines.market.sources.simulated import open_simulated

        return open_simulated(config, market=market, freq=freq, start=start, end=end, now=now)
    raise ConfigError(
        f"source kind = {config.kind!r} is none of 'files', 'simulated'",
        kept="nothing was opened",
        hint=f'kind = "simulated" under [markets.{market}.{freq}]',
    )
