"""Sessions and instants of a part's labels."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from nofx_pipelines.market.sources.files.instrument_summary import InstrumentSummary
from nofx_pipelines.market.sources.files.labels import ZONES
from nofx_pipelines.market.sources.files.survey import Survey


def first_session(survey: Survey, summary: InstrumentSummary) -> date:
    """The date, in exchange time, of an instrument's first bar."""
    return _session(survey, summary, summary.first)


def last_session(survey: Survey, summary: InstrumentSummary) -> date:
    """The date, in exchange time, of an instrument's last bar."""
    return _session(survey, summary, summary.last)


def _session(survey: Survey, summary: InstrumentSummary, label: datetime) -> date:
    aware = label.replace(tzinfo=ZoneInfo(survey.zone.value))
    local = aware.astimezone(ZoneInfo(ZONES[summary.listing.market]))
    if survey.labels == "end":
        local -= timedelta(microseconds=1)
    return local.date()
