"""What was decided about each part, in the words that ``nofx init`` shows."""

from __future__ import annotations

from collections import defaultdict

from nofx_pipelines.market.sources import Decision
from nofx_pipelines.market.sources.files import units
from nofx_pipelines.market.sources.files.file_index import Opened
from nofx_pipelines.market.sources.files.instrument_summary import Held
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


def decisions_of(opened: Opened) -> list[Decision]:
    """All that was decided, part by part, then what was left out."""
    told = _together([_of_part(found.survey) for found in opened.bars])
    for part, _, layout in opened.actions:
        told.append(Decision(part.label, "format", layout.format, "corporate actions"))
    return told + opened.left_out


def _together(by_part: list[list[Decision]]) -> list[Decision]:
    """The same decision of several files told once, named by the first; ``_PARTS`` files in full."""
    subjects: dict[tuple[str, str, str], list[str]] = {}
    for decision in (each for told in by_part[:_PARTS] for each in told):
        subjects.setdefault((decision.matter, decision.value, decision.evidence), []).append(decision.subject)
    merged = [
        Decision(names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else ""), *told)
        for told, names in subjects.items()
    ]
    if len(by_part) > _PARTS:
        merged.append(
            Decision(f"{len(by_part) - _PARTS:,} more files", "format", "recognised", "not listed here")
        )
    return merged


def _of_part(found: Survey) -> list[Decision]:
    subject, layout = found.part.label, found.layout
    told = [
        Decision(subject, "format", layout.format, f"columns: {found.head.seen()}"),
        Decision(subject, "instruments", _instruments(found), _span(found)),
        Decision(subject, "frequency", str(found.freq), f"{found.rows:,} rows"),
        Decision(subject, "labels", _LABELS[found.labels], found.labels_evidence),
        Decision(subject, "time zone", found.zone.value, found.zone.evidence),
        *(Decision(subject, "units", value, evidence) for value, evidence in _units(found)),
        Decision(subject, "price_basis", found.price_basis.value, found.price_basis.evidence),
        *(Decision(subject, matter, value, evidence) for matter, value, evidence in layout.notes),
    ]
    if layout.prev_close == "first_bar":
        told.append(Decision(subject, "prev_close", "last_close of a session's first bar", ""))
    if found.zoned is not None:
        which, most = ("without", "name one") if found.zoned else ("with", "name none")
        told.append(Decision(subject, "time zone", f"rows {which} a zone are rejected", f"most rows {most}"))
    if found.rejected.height:
        counts = found.rejected["rule"].value_counts().sort("rule")
        evidence = ", ".join(f"{rule} {count}" for rule, count in counts.iter_rows())
        told.append(Decision(subject, "rejected", f"{found.rejected.height:,} rows", evidence))
    return told


def _instruments(found: Survey) -> str:
    names = list(found.held)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _span(found: Survey) -> str:
    first = min(first_session(found, each) for each in found.held.values())
    last = max(last_session(found, each) for each in found.held.values())
    source = "" if "symbol" in found.layout.columns else "the symbol is the file name's; "
    return f"{source}{first} to {last}"


def _units(found: Survey) -> list[tuple[str, str]]:
    """Units by instrument, those of the same units together."""
    groups: dict[str, list[Held]] = defaultdict(list)
    for held in found.held.values():
        shares = "coins" if held.listing.market == "crypto" else "shares"
        currency, quote = held.listing.currency, held.units.volume_is_quote
        groups[
            units.describe(held.units.units, volume_is_quote=quote, currency=currency, shares=shares)
        ].append(held)
    told = []
    for value, group in groups.items():
        shown = [f"{each.listing.symbol}: {each.units.evidence}" for each in group[:_SHOWN]]
        more = f"; and {len(group) - _SHOWN} more" if len(group) > _SHOWN else ""
        told.append((value, "; ".join(shown) + more))
    return told
