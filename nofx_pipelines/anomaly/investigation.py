"""One anomaly looked into: what the bars, the market, the checks and the sources say around it."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from nofx_pipelines.anomaly.formatting import reason
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.errors import DataError
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.markdown import escape, table

_AROUND = 10
"""Bars shown before and after."""
_RECENT_SESSIONS = 5
"""Sessions back from the newest one in which a critical anomaly is news."""


def critical(lake: Lake, universe: UniverseConfig) -> list[str]:
    """Ids of open critical anomalies of the newest sessions, in time order."""
    events, scores = (lake.table(universe.name, name) for name in ("anomalies", "anomaly_scores"))
    if not events.exists() or not scores.exists():
        return []
    days = [day for day, stamp in scores.stamps().items() if stamp.rows][-_RECENT_SESSIONS:]
    if not days:
        return []
    wanted = (pl.col("severity") == "critical") & (pl.col("triage") == "open") & (pl.col("ts_end") >= days[0])
    found = events.scan().filter(wanted).sort("ts_start", "anomaly_id").select("anomaly_id").collect()
    return list(found["anomaly_id"])


def investigate(lake: Lake, universe: UniverseConfig, feed: FeedConfig, anomaly_id: str) -> str:
    """A Markdown page on one anomaly; raises DataError where there is none of that id."""
    events = lake.table(universe.name, "anomalies").scan().collect()
    found = events.filter(pl.col("anomaly_id") == anomaly_id)
    if found.is_empty():
        raise DataError(
            f"no anomaly {anomaly_id!r} in {universe.name}",
            kept="nothing was written",
            hint="nofx anomalies shows their ids",
        )
    row = found.row(0, named=True)
    parts = [
        f"# {escape(row['severity'])} anomaly {escape(anomaly_id)}",
        f"{escape(row['instrument_id'])}, {row['ts_start']} to {row['ts_end']}, peak {row['ts_peak']}; "
        f"{escape(row['channel'])}, {escape(row['type'])}; -log10 p {row['score']:.2f}, "
        f"confidence {row['confidence']:.4f}.",
        f"Why: {escape(reason(row['explanation'], row['rule']))}",
        "## Bars around it",
        _table(_bars(lake, universe, row)),
        "## The market in the same bars",
        _table(_market(lake, universe, row)),
        "## At the same time",
        _table(
            events.filter(pl.col("anomaly_id").is_in(row["related"])).select(
                "anomaly_id", "instrument_id", "ts_start", "severity", "channel"
            )
        ),
        "## Rows that the checks refused",
        _table(_refused(lake, feed, row)),
        "## What the sources delivered",
        _table(_revisions(lake, feed, row)),
    ]
    return "\n\n".join(parts) + "\n"


def write_investigation(home: Path, universe: UniverseConfig, anomaly_id: str, page: str) -> Path:
    """Keep the page under ``home/investigations``, renamed into place."""
    path = home / "investigations" / universe.name / f"{anomaly_id}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.part")
    draft.write_text(page, encoding="utf-8")
    draft.replace(path)
    return path


def _bars(lake: Lake, universe: UniverseConfig, row: dict[str, Any]) -> pl.DataFrame:
    own = lake.table(universe.name, "bars").scan().filter(pl.col("instrument_id") == row["instrument_id"])
    shown = ("ts_close", "open", "high", "low", "close", "volume", "amount", "status", "source", "revision")
    bars = own.select(shown).sort("ts_close").collect()
    first = int(bars["ts_close"].search_sorted(row["ts_start"]))
    last = int(bars["ts_close"].search_sorted(row["ts_end"], side="right"))
    return bars[max(0, first - _AROUND) : last + _AROUND]


def _market(lake: Lake, universe: UniverseConfig, row: dict[str, Any]) -> pl.DataFrame:
    """Median and spread of all instruments' returns in the bars of the event, beside the own one."""
    near = timedelta(days=14)
    bars = (
        lake.table(universe.name, "bars")
        .scan()
        .filter(
            (pl.col("status") == "traded")
            & pl.col("ts_close").is_between(row["ts_start"] - near, row["ts_end"])
        )
    )
    change = pl.col("close").log().diff().over("instrument_id", order_by="ts_close").alias("log_return")
    own = pl.col("log_return").filter(pl.col("instrument_id") == row["instrument_id"]).first()
    return (
        bars.with_columns(change)
        .filter(pl.col("ts_close") >= row["ts_start"])
        .group_by("ts_close")
        .agg(
            own.alias("own_return"),
            pl.col("log_return").median().alias("median_return"),
            pl.col("log_return").std().alias("spread"),
            pl.len().alias("traded"),
        )
        .sort("ts_close")
        .head(2 * _AROUND)
        .collect()
    )


def _refused(lake: Lake, feed: FeedConfig, row: dict[str, Any]) -> pl.DataFrame:
    table = lake.table(feed.scope, "quarantine")
    if not table.exists():
        return pl.DataFrame()
    near = pl.col("ts_open").is_between(row["ts_start"] - timedelta(days=4), row["ts_end"])
    mine = pl.col("instrument_id") == row["instrument_id"]
    return table.scan().filter(mine & near).select("ts_open", "rule", "reason", "value", "source").collect()


def _revisions(lake: Lake, feed: FeedConfig, row: dict[str, Any]) -> pl.DataFrame:
    """Every revision of the event's first and peak bar that any source delivered."""
    table = lake.table(feed.scope, feed.source_bars)
    if not table.exists():
        return pl.DataFrame()
    wanted = (pl.col("instrument_id") == row["instrument_id"]) & pl.col("ts_close").is_in(
        [row["ts_start"], row["ts_peak"]]
    )
    shown = ("ts_close", "source", "revision", "open", "high", "low", "close", "volume", "knowledge_time")
    return table.scan().filter(wanted).select(shown).sort("ts_close", "source", "revision").collect()


def _table(frame: pl.DataFrame) -> str:
    """A frame as a Markdown table, or a word where it is empty."""
    if frame.is_empty():
        return "none"
    rows = [[f"{v:.6g}" if isinstance(v, float) else v for v in row] for row in frame.rows()]
    return table(frame.columns, rows)
