"""What each instrument's own rows show: its span, its units, its lot and its step of price."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from nofx_pipelines.market.sources.files import labels
from nofx_pipelines.market.sources.files.layout import Layout
from nofx_pipelines.market.sources.files.units import UnitDecision, UnitEvidence, decide
from nofx_pipelines.market.venues import Listing

_NEWEST = 60
FINEST = 1e-8
"""The step of prices and volumes that show no coarser one."""
_LOTS = (10_000, 5_000, 4_000, 2_500, 2_000, 1_500, 1_000, 800, 600, 500, 400, 300, 250, 200, 100, 50, 10)


@dataclass(frozen=True)
class InstrumentSummary:
    """One instrument of one part: rows, first and last label as written, what its values show."""

    listing: Listing
    rows: int
    first: datetime
    last: datetime
    units: UnitDecision
    lot: float
    tick: float
    last_close: float | None


def summarise_instruments(
    rows: pl.DataFrame,
    spans: list[pl.DataFrame],
    listings: dict[str, Listing],
    layout: Layout,
    freq: str | None,
) -> dict[str, InstrumentSummary]:
    """Every instrument met: spans over all its rows, units from those kept for the statistics."""
    if not spans:
        return {}
    whole = (
        pl.concat(spans)
        .group_by("instrument_id")
        .agg(pl.col("rows").sum(), pl.col("first").min(), pl.col("last").max())
        .sort("instrument_id")
    )
    traded = rows.filter((pl.col("volume") > 0) & (pl.col("close") > 0))
    by_instrument = traded.partition_by("instrument_id", as_dict=True, include_key=True)
    summaries = {}
    for identifier, count, first, last in whole.iter_rows():
        one = by_instrument.get((identifier,), traded.clear())
        listing = listings[identifier]
        asset = listing.asset_class
        units = decide(layout, _evidence(one, freq), market=listing.market, asset_class=asset)
        lot = FINEST if units.volume_is_quote else _lot(one["volume"] * units.units.volume)
        latest = one.sort("label", "close")["close"]
        last_close = None if latest.is_empty() else float(latest[-1])
        tick = _step(one["close"])
        summaries[identifier] = InstrumentSummary(listing, count, first, last, units, lot, tick, last_close)
    return summaries


def _evidence(traded: pl.DataFrame, freq: str | None) -> UnitEvidence:
    minutes = labels.DURATIONS[freq].total_seconds() / 60 if freq in labels.DURATIONS else 1.0
    k = traded.filter(pl.col("amount") > 0).select(
        "label", k=pl.col("amount") / pl.col("volume") / pl.col("close")
    )
    newest = k.sort("label", "k", descending=True).head(_NEWEST)
    notional = (traded["volume"] * traded["close"]).median()
    return UnitEvidence(
        _float(k["k"].median()),
        _float(newest["k"].median()),
        _float(k["k"].quantile(0.05)),
        _float(k["k"].quantile(0.95)),
        None if notional is None else _float(notional) / minutes,  # type: ignore[operator]
    )


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _lot(volume: pl.Series) -> float:
    """The largest usual lot of which every volume is a multiple; a decimal step where they are not whole."""
    if volume.is_empty():
        return 1.0
    if bool((volume % 1 != 0).any()):
        return _step(volume)
    return float(next((size for size in _LOTS if bool((volume % size == 0).all())), 1))


def _step(values: pl.Series) -> float:
    """The largest of 1, 0.1, 0.01 … of which every value is a multiple."""
    for digits in range(8):
        scaled = values * 10.0**digits
        if bool(((scaled - scaled.round(0)).abs() <= 1e-9 * scaled.abs() + 1e-6).all()):
            return float(10.0**-digits)
    return FINEST
