"""Anomalies and their recovery in words, for terminals, the UI and the report."""

from __future__ import annotations

from typing import Any

import polars as pl

from nofx_pipelines import markdown


def reason(explanation: list[dict[str, Any]], rule: str | None) -> str:
    """The explanation of one anomaly in one line.

    >>> line = {"feature": "volume", "value": 3.0, "expected_low": 0.5, "expected_high": 1.5}
    >>> reason([{**line, "contribution": 4.2}], None)
    'volume 3 above 0.5 .. 1.5 (4.2)'
    """
    parts = [f"rule {rule}"] if rule else []
    for line in explanation:
        if line["value"] is None or abs(line["contribution"]) < 1.0:
            continue
        low, high = (f"{line[name]:.4g}" for name in ("expected_low", "expected_high"))
        size = abs(line["contribution"])
        parts.append(f"{line['feature']} {line['value']:.4g} {_side(line)} {low} .. {high} ({size:.1f})")
    return "; ".join(parts) or "several features together"


def _side(line: dict[str, Any]) -> str:
    """Where a value lies; within what one bar may do, it is the run of bars before that says something."""
    if line["value"] > line["expected_high"]:
        return "above"
    if line["value"] < line["expected_low"]:
        return "below"
    return f"long {'high' if line['contribution'] > 0 else 'low'} within"


def events_markdown(events: pl.DataFrame, limit: int = 10) -> str:
    """The newest anomalies as a Markdown table."""
    shown = ("instrument_id", "severity", "channel", "type")
    rows = [
        (
            f"{row['ts_start']:%Y-%m-%d %H:%M}",
            *(row[name] for name in shown),
            reason(row["explanation"], row["rule"]),
        )
        for row in events.sort("ts_start", "anomaly_id", descending=True).head(limit).iter_rows(named=True)
    ]
    return markdown.table(("when", "instrument", "severity", "channel", "type", "why"), rows)


def recovery_markdown(recovered: pl.DataFrame, precision: float | None) -> str:
    """Recall per planted kind, and the precision of all alerts, as a Markdown table."""
    rows = [
        (kind, planted, found, "" if recall is None else f"{recall:.2f}")
        for kind, planted, found, recall in recovered.rows()
    ]
    listing = markdown.table(("planted", "n", "found", "recall"), rows)
    shown = "no alerts" if precision is None else f"{precision:.2f} of the alerts are about one of them"
    return "\n".join([listing, "", shown])
