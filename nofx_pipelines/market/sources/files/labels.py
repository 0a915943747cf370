"""What the rows themselves say about their times: frequency, which end a label names, which zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time, timedelta

import polars as pl

from nofx_pipelines.market.sources.files.layout import Labels, Layout

ZONES = {"cn": "Asia/Shanghai", "hk": "Asia/Hong_Kong", "crypto": "UTC"}
DURATIONS = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
}
_CLOSES = {"cn": (time(11, 30), time(15, 0)), "hk": (time(12, 0), time(16, 0))}
_REOPENS = time(13, 0)
_OPENS = time(9, 0)
_QUARTERS_MIN = 24
"""A day of quarter hours, before the volume's rhythm is trusted."""
_RHYTHM = 1.15
_FEW = 3


@dataclass(frozen=True)
class Verdict:
    """What was decided and what spoke for it."""

    value: str
    evidence: str


def infer_freq(rows: pl.DataFrame, asked: str | None = None) -> str | None:
    """The most frequent gap between an instrument's neighbouring labels, as a frequency; ``None`` if unknown.

    ``rows``: instrument_id, label. A gap of days, or labels at midnight only, is ``1d``. A gap seen once
    or twice does not speak against the frequency ``asked`` for.
    """
    midnight = not rows.is_empty() and bool((rows["label"].dt.time() == time(0)).all())
    distinct = rows.select("instrument_id", "label").unique().sort("instrument_id", "label")
    gaps = distinct.select(pl.col("label").diff().over("instrument_id").alias("gap")).drop_nulls()
    counts = gaps.group_by("gap").len().sort("len", "gap", descending=[True, False])
    if counts.is_empty():
        return "1d" if midnight else None
    gap: timedelta = counts["gap"][0]
    if (
        asked is not None
        and not midnight
        and counts["len"][0] < _FEW
        and gap % DURATIONS[asked] == timedelta(0)
    ):
        return asked
    if gap >= timedelta(days=1):
        return "1d"
    return next((freq for freq, length in DURATIONS.items() if length == gap), _odd(gap))


def _odd(gap: timedelta) -> str:
    return f"{gap.total_seconds() / 60:g}m"


def infer_zone(walls: Mapping[time, int], market: str, layout: Layout) -> Verdict:
    """The zone of times that name none: the market's own, or UTC where that puts them in session."""
    own = ZONES[market]
    if layout.naive_zone == "UTC" or own == "UTC":
        return Verdict("UTC", "the format's" if layout.naive_zone == "UTC" else "crypto trades in UTC")
    if layout.naive_zone == "exchange":
        return Verdict(own, "the format's")
    total = sum(walls.values())
    # 01:00-08:00 UTC is 09:00-16:00 in both Shanghai and Hong Kong; no trading hour is in both spans
    utc = sum(count for at, count in walls.items() if time(1) <= at <= time(8))
    local = sum(count for at, count in walls.items() if _OPENS <= at <= time(16, 10))
    midnight = walls.get(time(0), 0)
    if utc > local and utc > midnight:
        return Verdict("UTC", f"{utc} of {total} labels lie in trading hours only if read as UTC")
    return Verdict(
        own, f"{max(local, midnight)} of {total} labels lie in trading hours (or name a day) as local time"
    )


def infer_labels(rows: pl.DataFrame, *, market: str, freq: str, layout: Layout) -> tuple[Labels, str]:
    """Which end of the bar the labels name.

    ``rows``: label (exchange time), volume. Stocks: bars labelled by their end have one at the
    close and none at 13:00. Crypto: trading bursts in the first minute of a quarter hour, so that
    minute's label tells. What the rows cannot tell is as the format documents.
    """
    if layout.labels is not None:
        return layout.labels, "the format says"
    if freq == "1d":
        return "session", "one label a day"
    default = layout.labels_default
    if market in _CLOSES:
        return _by_session(rows, market, default)
    if freq == "1m":
        return _by_rhythm(rows, default)
    return default, f"{freq} crypto bars do not tell; {default} is the convention"


def _by_session(rows: pl.DataFrame, market: str, default: Labels) -> tuple[Labels, str]:
    at = rows["label"].dt.time()
    ends, starts = int(at.is_in(_CLOSES[market]).sum()), int((at == _REOPENS).sum())
    shown = f"{ends} labels at the close of a half session, {starts} at 13:00"
    if ends == starts:
        return default, f"{shown}; taken as the format says"
    return ("end", shown) if ends > starts else ("start", shown)


def _by_rhythm(rows: pl.DataFrame, default: Labels) -> tuple[Labels, str]:
    minute = rows.select((pl.col("label").dt.minute() % 15).alias("minute"), "volume")
    by_minute = minute.group_by("minute").agg(pl.col("volume").median().alias("volume"), pl.len())
    volumes = {row[0]: (row[1], row[2]) for row in by_minute.iter_rows()}
    at_0, at_1 = volumes.get(0, (None, 0)), volumes.get(1, (None, 0))
    if min(at_0[1], at_1[1]) < _QUARTERS_MIN * 4 or not at_0[0] or not at_1[0]:
        return default, f"too few bars to tell; {default} is the convention"
    ratio = at_1[0] / at_0[0]
    shown = f"median volume of minute 1 of a quarter hour is {ratio:.2f} of minute 0's"
    if ratio > _RHYTHM:
        return "end", f"{shown}: the burst after the quarter carries label 1"
    if ratio < 1 / _RHYTHM:
        return "start", f"{shown}: the burst after the quarter carries label 0"
    return default, f"{shown}, which does not tell; {default} is the convention"
