"""Rows and files that cannot be used, as rows of the quarantine table."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

import polars as pl

from nofx_pipelines.lake.schemas import QUARANTINE
from nofx_pipelines.market.sources.files.raw import LINE, BadLine, printable

SCHEMA = {name: dtype for name, dtype in QUARANTINE.columns.items() if name != "run_id"}
_RAW_CHARS = 2_000
_VALUE_CHARS = 200


def empty() -> pl.DataFrame:
    """No reject."""
    return pl.DataFrame(schema=SCHEMA)


def of_file(label: str, rule: str, reason: str, *, source: str, now: datetime) -> pl.DataFrame:
    """One reject for a file that cannot be read as a whole."""
    return _frame([_row(label, None, None, rule, reason, label, {"file": label}, source, now)])


def of_lines(lines: list[BadLine], label: str, *, source: str, now: datetime) -> pl.DataFrame:
    """One reject a line that is no row."""
    return _frame(
        [
            _row(label, line.line, None, line.rule, line.reason, line.text, {"text": line.text}, source, now)
            for line in lines
        ]
    )


def of_rows(bad: pl.DataFrame, raw: pl.DataFrame, label: str, *, source: str, now: datetime) -> pl.DataFrame:
    """One reject a row of ``bad`` (``LINE``, instrument_id, rule, reason, value); ``raw`` holds its cells."""
    if bad.is_empty():
        return empty()
    joined = bad.sort(LINE).join(printable(raw), on=LINE, how="left", maintain_order="left", suffix="__raw")
    names = raw.columns[1:]
    cells = joined.select(pl.col(name if name not in bad.columns else f"{name}__raw") for name in names)
    refusals = bad.sort(LINE).select(LINE, "instrument_id", "rule", "reason", "value").iter_rows()
    return _frame(
        [
            _row(
                label, line, instrument, rule, reason, value, dict(zip(names, row, strict=True)), source, now
            )
            for (line, instrument, rule, reason, value), row in zip(refusals, cells.iter_rows(), strict=True)
        ]
    )


def _row(
    label: str,
    line: int | None,
    instrument_id: str | None,
    rule: str,
    reason: str,
    value: str | None,
    raw: dict[str, object],
    source: str,
    now: datetime,
) -> dict[str, object]:
    place = label if line is None else f"{label}:{line}"
    text = json.dumps(raw, ensure_ascii=False, default=str)[:_RAW_CHARS]
    shown = "" if value is None else str(value)[:_VALUE_CHARS]
    identity = "\x1f".join((source, place, rule, shown, text))
    return {
        "quarantine_id": hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32],
        "source": source,
        "file": place,
        "instrument_id": instrument_id,
        "ts_open": None,
        "rule": rule,
        "reason": reason,
        "value": shown,
        "raw": text,
        "seen_at": now,
    }


def _frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA) if rows else empty()
