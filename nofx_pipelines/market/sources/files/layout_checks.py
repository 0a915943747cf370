"""What is wrong with a layout that a plug-in gives, before a row is read with it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import get_args

from nofx_pipelines.errors import DataError
from nofx_pipelines.market.checks import WORDS
from nofx_pipelines.market.instruments import KINDS, make_instrument_id
from nofx_pipelines.market.sources.files.layout import (
    ACTION_COUNTS,
    ACTION_VALUES,
    NUMBERS,
    REQUIRED,
    TEXTS,
    Labels,
    Layout,
    Units,
)
from nofx_pipelines.market.sources.files.raw import Head

_COLUMNS = {
    "bars": ("symbol", "label", "ts_close", "session_date", *NUMBERS, *TEXTS),
    "actions": ("symbol", "label", *ACTION_COUNTS, *ACTION_VALUES),
}
_LABELS = get_args(Labels)
_CHOICES = {
    "labels": (*_LABELS, None),
    "labels_default": _LABELS,
    "naive_zone": ("exchange", "UTC", None),
    "price_basis": WORDS["price_basis"],
    "basis_from_ticks": (True, False),
    "units_documented": (True, False),
    "crypto_kind": KINDS,
    "prev_close": ("row", "first_bar"),
}


def layout_problem(layout: object, head: Head) -> str | None:
    """What the layout gets wrong about the file with this head, None for a sound one.

    >>> head = Head("a.csv", ("t", "o"), ())
    >>> layout_problem(Layout("mine", {"label": "t", "open": "O"}), head)
    "maps 'open' to 'O', a column that the file lacks"
    """
    if not isinstance(layout, Layout):
        return f"gave {type(layout).__name__}, not a Layout or None"
    return next(_problems(layout, head), None)


def _problems(layout: Layout, head: Head) -> Iterator[str]:
    if not isinstance(layout.format, str) or not 1 <= len(layout.format) <= 40:
        yield f"gave a layout with format = {layout.format!r}, not a name of 1 to 40 characters"
    if layout.kind not in _COLUMNS:
        yield f"gave a layout with kind = {layout.kind!r}, none of {', '.join(_COLUMNS)}"
        return
    columns: object = layout.columns
    if not isinstance(columns, Mapping):
        yield f"gave columns as {type(columns).__name__}, not as a mapping"
        return
    yield from _column_problems(layout, head)
    for name, allowed in _CHOICES.items():
        value = getattr(layout, name)
        if value not in allowed:
            yield f"gave a layout with {name} = {value!r}, none of {', '.join(map(repr, allowed))}"
    yield from _value_problems(layout)


def _column_problems(layout: Layout, head: Head) -> Iterator[str]:
    for ours, theirs in layout.columns.items():
        if ours not in _COLUMNS[layout.kind]:
            yield f"maps {ours!r}, which is none of {', '.join(_COLUMNS[layout.kind])}"
        if theirs not in head.names:
            yield f"maps {ours!r} to {theirs!r}, a column that the file lacks"
    needed = ("label", *REQUIRED) if layout.kind == "bars" else ("symbol", "label")
    missing = [name for name in needed if name not in layout.columns]
    if missing:
        yield f"maps nothing to {', '.join(missing)}"
    valued = "kind" in layout.columns and ("ratio" in layout.columns or "cash" in layout.columns)
    if layout.kind == "actions" and not (valued or layout.counts_per_ten):
        yield f"maps neither kind with ratio or cash nor {', '.join(ACTION_COUNTS)}"
    if layout.labels == "both" and "ts_close" not in layout.columns:
        yield "says labels = 'both' and maps nothing to ts_close"


def _value_problems(layout: Layout) -> Iterator[str]:
    units = layout.units
    if not isinstance(units, Units) or not all(
        isinstance(unit, (int, float)) and math.isfinite(unit) and unit > 0
        for unit in (units.volume, units.amount)
    ):
        yield f"gave units = {units!r}, not Units of two numbers above zero"
    lag = layout.knowledge_lag
    if not isinstance(lag, timedelta) or lag < timedelta(0):
        yield f"gave knowledge_lag = {lag!r}, not a timedelta of zero or more"
    if not isinstance(layout.exchange, str) or not _is_exchange(layout.exchange):
        yield f"gave exchange = {layout.exchange!r}, not a code of capital letters and digits"
    if not isinstance(layout.notes, tuple) or not all(
        isinstance(note, tuple) and len(note) == 3 and all(isinstance(part, str) for part in note)
        for note in layout.notes
    ):
        yield "gave notes that are not triples of text: matter, value, evidence"


def _is_exchange(code: str) -> bool:
    try:
        make_instrument_id("crypto", code, "A-B", "SPOT")
    except DataError:
        return False
    return True
