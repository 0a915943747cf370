"""Sessions and instants of a part's labels."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from nofx_pipelines.market.sources.files.instrument_summary import Held
from nofx_pipelines.market.sources.files.labels import ZONES
from nofx_pipelines.market.sources.files.survey import Survey


def first_session(found: Survey, held: Held) -> date:
    """The date, in exchange time, of an instrument's first bar."""
    return _session(found, held, held.first)


def last_session(found: Survey, held: Held) -> date:
    """The date, in exchange time, of an instrument's last bar."""
    return _session(found, held, held.last)


def _session(found: Survey, held: Held, label: datetime) -> date:
    aware = label.replace(tzinfo=ZoneInfo(found.zone.value))
    local = aware.astimezone(ZoneInfo(ZONES[held.listing.market]))
    if found.labels == "end":
        local -= timedelta(microseconds=1)
    return local.date()
