"""The report's page on anomalies: where they lie on the price, why, what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import polars as pl

from nofx_pipelines.anomaly.formatting import reason
from nofx_pipelines.anomaly.refresh import recovered_events
from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.report.charts import Line, Mark, bars, line_chart
from nofx_pipelines.report.markup import figure, number, table

_BARS = 250
"""Bars of the price beneath the marks."""
_LISTED = 10
_TONES = {"low": "d", "medium": "a", "high": "b", "critical": "c"}


@dataclass(frozen=True)
class AnomalyView:
    """What was found in one universe; empty frames where the stages have not run."""

    events: pl.DataFrame
    clusters: pl.DataFrame
    recovered: pl.DataFrame | None
    precision: float | None
    price: pl.DataFrame
    """ts_close and close of the instrument with the loudest anomaly, around it."""


def read_anomalies(lake: Lake, universe: UniverseConfig) -> AnomalyView:
    """Everything that the page shows."""
    events = _whole(lake, universe, "anomalies")
    recovered, precision = recovered_events(lake, universe, events) if events.height else (None, None)
    return AnomalyView(
        events,
        _whole(lake, universe, "anomaly_clusters"),
        recovered,
        precision,
        _price(lake, universe, events),
    )


def anomaly_page(view: AnomalyView) -> str:
    """The page; says what to do next where nothing was looked for."""
    if view.events.is_empty():
        return "<p class='soft'>None found, or not looked for yet.</p>"
    counts = dict(view.events.group_by("severity").agg(pl.len()).rows())
    words = ", ".join(f"{counts[name]} {name}" for name in reversed(_TONES) if name in counts)
    parts = [f"<p>{number(view.events.height)} anomalies: {escape(words)}.</p>", _chart(view), _list(view)]
    if view.clusters.height:
        rows = view.clusters.sort("n", descending=True).select("name", "n", "first_seen", "last_seen").rows()
        shown = [(name, n, f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}") for name, n, first, last in rows]
        listing = table(("what they share", "n", "first", "last"), shown, numeric=(1,))
        parts.append(f"<details><summary>Clusters</summary>{listing}</details>")
    if view.recovered is not None:
        parts.append(_recovery(view.recovered, view.precision))
    return "".join(parts)


def _whole(lake: Lake, universe: UniverseConfig, name: str) -> pl.DataFrame:
    found = lake.table(universe.name, name)
    return found.scan().collect() if found.exists() else pl.DataFrame(schema=found.schema.columns)


def _price(lake: Lake, universe: UniverseConfig, events: pl.DataFrame) -> pl.DataFrame:
    """The closes around the loudest anomaly's peak, of its instrument."""
    empty = pl.DataFrame(
        schema={"instrument_id": pl.String, "ts_close": pl.Datetime("us", "UTC"), "close": pl.Float64}
    )
    if events.is_empty():
        return empty
    loudest = events.sort("score", "anomaly_id", descending=[True, False]).row(0, named=True)
    traded = (
        lake.table(universe.name, "bars")
        .scan()
        .filter((pl.col("instrument_id") == loudest["instrument_id"]) & (pl.col("status") == "traded"))
    )
    closes = traded.select("instrument_id", "ts_close", "close").sort("ts_close").collect()
    at = int(closes["ts_close"].search_sorted(loudest["ts_peak"]))
    return closes.slice(max(0, at - _BARS // 2), _BARS)


def _chart(view: AnomalyView) -> str:
    if view.price.is_empty():
        return ""
    closes = view.price["ts_close"].to_list()
    place = {close: k for k, close in enumerate(closes)}
    here = view.events.filter(pl.col("instrument_id") == view.price["instrument_id"][0])
    marks = [
        Mark(place[row["ts_peak"]], view.price["close"][place[row["ts_peak"]]], _TONES[row["severity"]])
        for row in here.iter_rows(named=True)
        if row["ts_peak"] in place
    ]
    name = view.price["instrument_id"][0]
    daily = all(close.time() == closes[0].time() for close in closes)
    labels = [f"{close:%Y-%m-%d}" if daily else f"{close:%m-%d %H:%M}" for close in closes]
    drawing = line_chart(
        labels, [Line("close", view.price["close"].to_list())], marks=marks, title=f"Anomalies of {name}"
    )
    return figure(
        drawing, f"{name} around its loudest anomaly (unadjusted closes; a dot is an anomaly's peak)"
    )


def _list(view: AnomalyView) -> str:
    """The loudest anomalies, with their reasons."""
    loud = view.events.sort("score", "anomaly_id", descending=[True, False])
    rows = [
        (
            f"{row['ts_start']:%Y-%m-%d %H:%M} {row['instrument_id']} "
            f"{row['severity']}, {row['channel']}, {row['type']}",
            reason(row["explanation"], row["rule"]),
        )
        for row in loud.head(_LISTED).iter_rows(named=True)
    ]
    return table(("when (UTC), instrument, severity, channel, type", "why"), rows)


def _recovery(recovered: pl.DataFrame, precision: float | None) -> str:
    shares = [
        (f"{kind} ({found} of {planted})", recall or 0.0) for kind, planted, found, recall in recovered.rows()
    ]
    words = "" if precision is None else f" {number(precision)} of the alerts are about a planted one."
    return figure(
        bars(shares, title="Recovery"), f"Share of the planted anomalies that was found, by kind.{words}"
    )
