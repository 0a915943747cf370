"""What lies under a path, before anyone has said which market and frequency it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from nofx_pipelines.market.sources import Decision
from nofx_pipelines.market.sources.files.file_decisions import decisions_of
from nofx_pipelines.market.sources.files.file_index import FileIndex, open_path
from nofx_pipelines.market.sources.files.spans import first_session, last_session


@dataclass(frozen=True)
class Feed:
    """Bars of one market and frequency found under a path; ``[start, last]`` their sessions."""

    market: str
    freq: str
    rows: int
    instruments: int
    start: date
    last: date


@dataclass(frozen=True)
class Description:
    """What was recognised, and the feeds it would make, the one with most rows first."""

    decisions: list[Decision]
    feeds: list[Feed]


def describe(path: Path, *, now: datetime) -> Description:
    """Recognise everything under ``path`` and guess market and frequency from the content.

    Bare numbers as symbols are read as A-shares (six digits), then as Hong Kong's. Raises
    ``UnrecognisedFile`` for a single file that no reader knows.
    """
    index = open_path(path, market=None, freq=None, now=now)
    for market in ("cn", "hk"):
        if index.bars:
            break
        index = open_path(path, market=market, freq=None, now=now)
    return Description(decisions_of(index), _feeds(index))


def _feeds(index: FileIndex) -> list[Feed]:
    rows: dict[tuple[str, str], int] = {}
    days: dict[tuple[str, str], list[date]] = {}
    names: dict[tuple[str, str], set[str]] = {}
    for part in index.bars:
        survey = part.survey
        for identifier, summary in survey.instruments.items():
            key = (summary.listing.market, str(survey.freq))
            rows[key] = rows.get(key, 0) + summary.rows
            days.setdefault(key, []).extend([first_session(survey, summary), last_session(survey, summary)])
            names.setdefault(key, set()).add(identifier)
    feeds = [Feed(*key, rows[key], len(names[key]), min(days[key]), max(days[key])) for key in rows]
    return sorted(feeds, key=lambda feed: (-feed.rows, feed.market, feed.freq))
