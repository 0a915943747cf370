"""What was decided about each part, in the words that ``nofx init`` shows."""

from __future__ import annotations

from collections import defaultdict

from nofx_pipelines.market.sources import Decision
from nofx_pipelines.market.sources.files import units
from nofx_pipelines.market.sources.files.file_index import FileIndex
from nofx_pipelines.market.sources.files.instrument_summary import InstrumentSummary
from nofx_pipelines.market.sources.files.spans import first_session, last_session
from nofx_pipelines.market.sources.files.survey import Survey

_SHOWN = 8
_PARTS = 50
_LABELS = {
    "start": "name the bar's start",
    "end": "name the bar's end",
    "session": "name the session's date",
    "both": "ts_open and ts_close as they stand",
}


def decisions_of(index: FileIndex) -> list[Decision]:
    """All that was decided, part by part, then what was left out."""
    decisions = _together([_of_part(part.survey) for part in index.bars])
    for part, _, layout in index.actions:
        decisions.append(Decision(part.label, "format", layout.format, "corporate actions"))
    return decisions + index.left_out


def _together(by_part: list[list[Decision]]) -> list[Decision]:
    """The same decision of several files once, named by the first; ``_PARTS`` files in full."""
    subjects: dict[tuple[str, str, str], list[str]] = {}
    for decision in (each for decisions in by_part[:_PARTS] for each in decisions):
        subjects.setdefault((decision.matter, decision.value, decision.evidence), []).append(decision.subject)
    merged = [
        Decision(names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else ""), *decided)
        for decided, names in subjects.items()
    ]
    if len(by_part) > _PARTS:
        merged.append(
            Decision(f"{len(by_part) - _PARTS:,} more files", "format", "recognised", "not listed here")
        )
    return merged


def _of_part(survey: Survey) -> list[Decision]:
    subject, layout = survey.part.label, survey.layout
    decisions = [
        Decision(subject, "format", layout.format, f"columns: {survey.head.columns_text()}"),
        Decision(subject, "instruments", _instruments(survey), _span(survey)),
        Decision(subject, "frequency", str(survey.freq), f"{survey.rows:,} rows"),
        Decision(subject, "labels", _LABELS[survey.labels], survey.labels_evidence),
        Decision(subject, "time zone", survey.zone.value, survey.zone.evidence),
        *(Decision(subject, "units", value, evidence) for value, evidence in _units(survey)),
        Decision(subject, "price_basis", survey.price_basis.value, survey.price_basis.evidence),
        *(Decision(subject, matter, value, evidence) for matter, value, evidence in layout.notes),
    ]
    if layout.prev_close == "first_bar":
        decisions.append(Decision(subject, "prev_close", "last_close of a session's first bar", ""))
    if survey.zoned is not None:
        which, most = ("without", "name one") if survey.zoned else ("with", "name none")
        decisions.append(
            Decision(subject, "time zone", f"rows {which} a zone are rejected", f"most rows {most}")
        )
    if survey.rejected.height:
        counts = survey.rejected["rule"].value_counts().sort("rule")
        evidence = ", ".join(f"{rule} {count}" for rule, count in counts.iter_rows())
        decisions.append(Decision(subject, "rejected", f"{survey.rejected.height:,} rows", evidence))
    return decisions


def _instruments(survey: Survey) -> str:
    names = list(survey.instruments)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _span(survey: Survey) -> str:
    first = min(first_session(survey, each) for each in survey.instruments.values())
    last = max(last_session(survey, each) for each in survey.instruments.values())
    source = "" if "symbol" in survey.layout.columns else "the symbol is the file name's; "
    return f"{source}{first} to {last}"


def _units(survey: Survey) -> list[tuple[str, str]]:
    """Units by instrument, those of the same units together."""
    groups: dict[str, list[InstrumentSummary]] = defaultdict(list)
    for summary in survey.instruments.values():
        shares = "coins" if summary.listing.market == "crypto" else "shares"
        currency, quote = summary.listing.currency, summary.units.volume_is_quote
        groups[
            units.describe(summary.units.units, volume_is_quote=quote, currency=currency, shares=shares)
        ].append(summary)
    shown_units = []
    for value, group in groups.items():
        shown = [f"{each.listing.symbol}: {each.units.evidence}" for each in group[:_SHOWN]]
        more = f"; and {len(group) - _SHOWN} more" if len(group) > _SHOWN else ""
        shown_units.append((value, "; ".join(shown) + more))
    return shown_units
