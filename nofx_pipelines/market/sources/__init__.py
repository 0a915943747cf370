"""Where bars come from: one small protocol, and the function that opens what ``nofx.toml`` names.

A kind of source is one file (or package) here that assigns ``SOURCE``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

import polars as pl

from nofx_pipelines.config import SourceConfig
from nofx_pipelines.lake.schemas import QUARANTINE
from nofx_pipelines.plugins import KINDS, Reference, builtin_names, find

KIND = "sources"


def no_rejects() -> pl.DataFrame:
    """No row of ``QUARANTINE``, without ``run_id``."""
    return pl.DataFrame(
        schema={name: dtype for name, dtype in QUARANTINE.columns.items() if name != "run_id"}
    )


@dataclass(frozen=True)
class SourceBatch:
    """Bars and rejected rows of one read, small enough to hold in memory.

    ``bars`` has the columns of ``SOURCE_BARS`` without ``revision`` (one that may be null, and
    ``row_hash``, ``is_final`` and ``quality``, may be missing); ``rejects`` those of ``QUARANTINE``
    without ``run_id``.
    """

    bars: pl.DataFrame
    rejects: pl.DataFrame = field(default_factory=no_rejects)


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
        """What stands in the column ``source``: the link's ``kind``, as ``nofx.toml`` writes it."""

    def instruments(self) -> pl.DataFrame:
        """The instruments delivered, columns of ``INSTRUMENTS``."""

    def batches(self, start: date, end: date) -> Iterator[SourceBatch]:
        """Bars of the sessions in ``[start, end)``, in batches of bounded size; known once they closed."""

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


class SourceKind(Protocol):
    """A kind of source: what a link ``{ kind = "…" }`` of ``nofx.toml`` opens."""

    def open(
        self, config: SourceConfig, *, market: str, freq: str, start: date, end: date, now: datetime
    ) -> Source:
        """The source of one market and frequency over the feed's span; reads as little as it can.

        Parameters
        ----------
        config:
            The link; ``dict(config.options)`` is its table of options, ``config.plugins`` the home's folder.
        market, freq:
            ``cn``, ``hk`` or ``crypto``; ``1d``, ``1h`` … ``1m``.
        start, end:
            The feed's sessions, ``[start, end)``.
        now:
            The clock, in UTC: a session that has not closed by then has no final bar.
        """


def open_source(
    config: SourceConfig, *, market: str, freq: str, start: date, end: date, now: datetime
) -> Source:
    """Open one link of a feed's chain.

    Raises ``ConfigError`` for an unknown kind, ``PluginError`` for a plug-in that does not load, raises or
    is no source; what a plug-in delivers is checked when it is asked for.
    """
    reference = find(KIND, config.kind, config.plugins)
    if reference.origin == "built-in":
        kind: SourceKind = reference.load()
        return kind.open(config, market=market, freq=freq, start=start, end=end, now=now)
    from nofx_pipelines.market.sources.plugin_source import open_plugin

    return open_plugin(reference, config, market=market, freq=freq, start=start, end=end, now=now)


def source_modules(config: SourceConfig) -> tuple[str, ...]:
    """The modules of ours that decide what a link delivers, for a code version; none of a plug-in's.

    A kind that is a package counts the members of the families inside it: any format may be the one that
    knows a file.

    >>> source_modules(SourceConfig("simulated"))
    ('nofx_pipelines.market.sources.simulated',)
    """
    reference = find(KIND, config.kind, config.plugins)
    if reference.origin != "built-in":
        return ()
    return (reference.module, *(member.module for member in _members_inside(reference)))


def _members_inside(reference: Reference) -> Iterator[Reference]:
    folder = f"{reference.kind.folder}/{reference.name}/"
    for kind in KINDS.values():
        if kind.folder.startswith(folder):
            yield from (find(kind.name, name) for name in builtin_names(kind.name))
