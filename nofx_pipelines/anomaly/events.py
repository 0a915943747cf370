"""Alerts merged in time into anomalies: start, peak and end, type, severity, confidence, relatives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from nofx_pipelines.anomaly.budget import LOWEST, thresholds
from nofx_pipelines.anomaly.detectors.registry import Detectors
from nofx_pipelines.anomaly.panel import FREQ_US
from nofx_pipelines.lake.schemas import ANOMALIES

SEVERITY = ((6.0, "critical"), (5.0, "high"), (4.0, "medium"), (LOWEST, "low"))
"""Smallest -log10 p of each severity."""
CONTEXTUAL = ("shadow", "volume", "trade_size")
"""Features that are read against another one of the same bar."""
_MERGED_BARS = {"1d": 2}
"""Alerts of an instrument that lie at most so many bars apart are one event; 10 for intraday bars."""
_COLLECTIVE_BARS = 3
RELATIVES = 5


def find_events(
    ensemble: pl.DataFrame, evidence: pl.DataFrame, freq: str, budget: float, detectors: Detectors
) -> pl.DataFrame:
    """The anomalies (ANOMALIES, untriaged, without clusters) among scored bars.

    A bar alerts when its score reaches its session's threshold (see `thresholds`).

    Parameters
    ----------
    ensemble
        instrument_id, ts_close, session_date, neg_log10_p of every bar.
    evidence
        Rows of ANOMALY_EVIDENCE.
    freq
        The bars' frequency.
    budget
        Alerts that an instrument may have in a session, on average.
    detectors
        What the bars were scored by: their statistics say an anomaly's type.
    """
    max_scores = ensemble.group_by("session_date", "instrument_id").agg(
        pl.col("neg_log10_p").max().alias("score")
    )
    bars = max(ensemble.group_by("session_date", "instrument_id").len()["len"].to_list(), default=1)
    limits = thresholds(max_scores, budget, bars)
    alerts = (
        evidence.join(limits, on="session_date", how="inner")
        .filter(pl.col("score") >= pl.col("threshold"))
        .join(_confidence(ensemble), on=["instrument_id", "ts_close"], how="left")
        .sort("instrument_id", "ts_close")
    )
    if alerts.is_empty():
        return pl.DataFrame(schema=ANOMALIES.columns)
    events = [_event(bars, detectors) for bars in _merged(alerts, _order(ensemble), freq)]
    frame = pl.DataFrame(events, schema=ANOMALIES.columns, orient="row")
    return _related(frame, freq).sort("ts_start", "instrument_id")


def severity(score: float) -> str:
    """The severity of a -log10 p.

    >>> severity(3.2), severity(7.0)
    ('low', 'critical')
    """
    return next((name for least, name in SEVERITY if score >= least), "low")


def _confidence(ensemble: pl.DataFrame) -> pl.DataFrame:
    """1 - p adjusted by Benjamini and Hochberg over the bars of each session."""
    p = pl.lit(10.0).pow(-pl.col("neg_log10_p"))
    return (
        ensemble.sort("session_date", "neg_log10_p", descending=[False, True])
        .with_columns(
            p.alias("p"),
            pl.int_range(1, pl.len() + 1).over("session_date").alias("rank"),
            pl.len().over("session_date").alias("bars"),
        )
        .with_columns((pl.col("p") * pl.col("bars") / pl.col("rank")).clip(0.0, 1.0).alias("q"))
        .with_columns((1 - pl.col("q").cum_min(reverse=True).over("session_date")).alias("confidence"))
        .select("instrument_id", "ts_close", "confidence")
    )


def _order(ensemble: pl.DataFrame) -> dict[datetime, int]:
    """The number of each bar's close among all closes: how far two bars lie apart."""
    closes = ensemble["ts_close"].unique().sort().to_list()
    return {close: k for k, close in enumerate(closes)}


def _merged(alerts: pl.DataFrame, order: dict[datetime, int], freq: str) -> Iterator[list[dict[str, Any]]]:
    """Alerts of one instrument that lie close together, in time order."""
    near = _MERGED_BARS.get(freq, 10)
    bars: list[dict[str, Any]] = []
    for row in alerts.iter_rows(named=True):
        apart = bars and (
            row["instrument_id"] != bars[-1]["instrument_id"]
            or order[row["ts_close"]] - order[bars[-1]["ts_close"]] > near
        )
        if apart:
            yield bars
            bars = []
        bars.append(row)
    yield bars


def _event(bars: list[dict[str, Any]], detectors: Detectors) -> dict[str, Any]:
    """One anomaly out of its alerting bars."""
    first, peak = bars[0], max(bars, key=lambda bar: bar["score"])
    name = f"{first['instrument_id']} {first['channel']} {first['ts_close'].isoformat()}"
    return {
        "anomaly_id": hashlib.sha256(name.encode()).hexdigest()[:16],
        "instrument_id": first["instrument_id"],
        "ts_start": first["ts_close"],
        "ts_end": bars[-1]["ts_close"],
        "ts_peak": peak["ts_close"],
        "session_date": first["session_date"],
        "channel": first["channel"],
        "type": _type(peak, len(bars), detectors),
        "severity": severity(peak["score"]),
        "score": peak["score"],
        "confidence": peak["confidence"] or 0.0,
        "rule": peak["rule"],
        "explanation": peak["explanation"],
        "related": [],
        "cluster_id": None,
        "triage": "open",
        "note": None,
    }


def _type(peak: dict[str, Any], bars: int, detectors: Detectors) -> str:
    """What kind of oddness: by the statistic that was the loudest, its channel, and how long it lasts."""
    detector = detectors.get(peak["detector"])
    own = "statistical" if detector is None else detector.type_of(peak["rule"])
    if own in ("temporal", "spatial"):
        return own
    if peak["channel"] == "cross_section":
        return "spatial"
    if bars >= _COLLECTIVE_BARS:
        return "collective"
    if own == "statistical" and peak["explanation"][0]["feature"] in CONTEXTUAL:
        return "contextual"
    return own


def _related(events: pl.DataFrame, freq: str) -> pl.DataFrame:
    """Each event with the loudest others that were going on at the same time."""
    slack = timedelta(0) if freq == "1d" else 5 * timedelta(microseconds=FREQ_US[freq])
    keys = events.select("anomaly_id", pl.col("ts_start") - slack, pl.col("ts_end") + slack)
    others = events.select("anomaly_id", "ts_start", "ts_end", "score")
    together = keys.join_where(
        others,
        pl.col("ts_start") <= pl.col("ts_end_other"),
        pl.col("ts_end") >= pl.col("ts_start_other"),
        suffix="_other",
    ).filter(pl.col("anomaly_id") != pl.col("anomaly_id_other"))
    relatives = (
        together.sort("score", "anomaly_id_other", descending=[True, False])
        .group_by("anomaly_id", maintain_order=True)
        .agg(pl.col("anomaly_id_other").head(RELATIVES).alias("relatives"))
    )
    return (
        events.join(relatives, on="anomaly_id", how="left")
        .with_columns(pl.coalesce("relatives", "related").alias("related"))
        .drop("relatives")
    )
