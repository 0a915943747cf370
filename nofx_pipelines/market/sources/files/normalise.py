"""From typed rows to bars: UTC intervals, shares and quote currency, phases and statuses."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import polars as pl

from nofx_pipelines.lake.schemas import SOURCE_BARS, UTC_US
from nofx_pipelines.market.fingerprints import row_hashes
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.market.sources.files.labels import DURATIONS, ZONES
from nofx_pipelines.market.sources.files.parse import PRICES
from nofx_pipelines.market.sources.files.raw import LINE
from nofx_pipelines.market.sources.files.survey import Survey

COLUMNS = {name: dtype for name, dtype in SOURCE_BARS.columns.items() if name != "revision"}
_READ = ("knowledge_time", "knowledge_kind", "source_rev", "raw_ref", "row_hash", "quality")
HASHED = tuple(name for name in COLUMNS if name not in _READ)
"""What a revision is about: the key and the values, not where and when they were read."""
SETTLING = timedelta(hours=1)
"""After the session's close, before its bars count as final."""
_NOMINAL = {
    "cn": (time(9, 30), time(15, 0)),
    "hk": (time(9, 30), time(16, 0)),
    "crypto": (time(0), None),
}
"""Opening hours of a day that the calendar does not have: such bars are kept for the checks to judge."""
_AUCTION_OPENS = {"cn": time(9, 15), "hk": time(9, 0)}
_CONTINUOUS_OPENS = time(9, 30)
QUOTE_VOLUME = "volume_from_amount"


def to_bars(
    rows: pl.DataFrame, survey: Survey, *, freq: str, source: str, source_rev: str, now: datetime
) -> pl.DataFrame:
    """Typed rows of one part as ``SOURCE_BARS`` without ``revision``, in the file's order.

    ``survey`` holds what the whole part says about labels, zones and units; all instruments of
    ``rows`` are of one market.
    """
    market = survey.markets[0]
    timed = _with_times(rows, survey, market=market, freq=freq)
    valued = _with_status(_with_units(timed, survey), market=market, freq=freq)
    if survey.layout.prev_close == "first_bar" and freq != "1d":
        valued = _session_prev_close(valued)
    bars = valued.with_columns(
        pl.lit(source).alias("source"),
        pl.lit(freq).alias("freq"),
        _basis(survey).alias("price_basis"),
        (pl.col("session_closes") + SETTLING <= now).alias("is_final"),
        (pl.col("ts_close") + survey.layout.knowledge_lag).alias("knowledge_time"),
        pl.lit("assumed").alias("knowledge_kind"),
        pl.lit(source_rev).alias("source_rev"),
        pl.format("{}:{}", pl.lit(survey.part.label), LINE).alias("raw_ref"),
        pl.lit(None, dtype=pl.String).alias("row_hash"),
    ).select(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items())
    return bars.with_columns(row_hashes(bars.select(HASHED)).alias("row_hash"))


def _with_times(rows: pl.DataFrame, survey: Survey, *, market: str, freq: str) -> pl.DataFrame:
    """``ts_open``, ``ts_close`` (UTC), session_date, session_phase, session_closes."""
    at = _instant("label", survey)
    local = at.dt.convert_time_zone(ZONES[market])
    if freq == "1d":
        day = (local - pl.duration(microseconds=1) if survey.labels == "end" else local).dt.date()
        return _daily(
            rows.with_columns(pl.coalesce("session_date", day).alias("session_date")), market, survey
        )
    length = DURATIONS[freq]
    if survey.labels == "both":
        opens, closes = at, _instant("label_close", survey)
    else:
        opens = at - length if survey.labels == "end" else at
        closes = opens + length
    timed = rows.with_columns(opens.alias("ts_open"), closes.alias("ts_close"))
    in_zone = pl.col("ts_open").dt.convert_time_zone(ZONES[market])
    timed = timed.with_columns(pl.coalesce("session_date", in_zone.dt.date()).alias("session_date"))
    return _auctions(_with_session_hours(timed, market), market, survey)


def _instant(column: str, survey: Survey) -> pl.Expr:
    return (
        pl.col(column)
        .dt.replace_time_zone(survey.zone.value, ambiguous="earliest", non_existent="null")
        .dt.convert_time_zone("UTC")
        .cast(UTC_US)
    )


def _with_session_hours(rows: pl.DataFrame, market: str) -> pl.DataFrame:
    """``session_opens`` and ``session_closes`` by the calendar, by usual hours where it has no session."""
    hours = _hours(rows["session_date"].min(), rows["session_date"].max(), market)
    joined = rows.join(hours, on="session_date", how="left", maintain_order="left")
    opens, closes = _NOMINAL[market]
    day = pl.col("session_date").cast(pl.Datetime("us"))
    nominal_open = day + pl.duration(minutes=opens.hour * 60 + opens.minute)
    until = pl.duration(days=1) if closes is None else pl.duration(hours=closes.hour)
    return joined.with_columns(
        pl.coalesce("session_opens", _utc(nominal_open, market)).alias("session_opens"),
        pl.coalesce("session_closes", _utc(day + until, market)).alias("session_closes"),
    )


def _hours(first: object, last: object, market: str) -> pl.DataFrame:
    days = calendar(market)
    empty = days.bounds(days.verified_from, days.verified_from)
    if isinstance(first, date) and isinstance(last, date):
        start = max(first, days.verified_from)
        end = min(last + timedelta(days=1), days.verified_until)
        empty = days.bounds(start, end) if start < end else empty
    return empty.select(
        "session_date",
        pl.col("opens").cast(UTC_US).alias("session_opens"),
        pl.col("closes").cast(UTC_US).alias("session_closes"),
    )


def _utc(local: pl.Expr, market: str) -> pl.Expr:
    zoned = local.dt.replace_time_zone(ZONES[market], ambiguous="earliest", non_existent="null")
    return zoned.dt.convert_time_zone("UTC").cast(UTC_US)


def _daily(rows: pl.DataFrame, market: str, survey: Survey) -> pl.DataFrame:
    timed = _with_session_hours(rows, market)
    if survey.labels == "both":
        ends = {"ts_open": _instant("label", survey), "ts_close": _instant("label_close", survey)}
    else:
        ends = {"ts_open": pl.col("session_opens"), "ts_close": pl.col("session_closes")}
    return timed.with_columns(session_phase=pl.coalesce("session_phase", pl.lit("all")), **ends)


def _auctions(rows: pl.DataFrame, market: str, survey: Survey) -> pl.DataFrame:
    """Bars before 09:30 are the opening auction, ``[09:15, 09:30)`` or in Hong Kong ``[09:00, 09:30)``."""
    if market not in _AUCTION_OPENS:
        return rows.with_columns(session_phase=pl.coalesce("session_phase", pl.lit("continuous")))
    local_open = pl.col("ts_open").dt.convert_time_zone(ZONES[market]).dt.time()
    auction = local_open.is_between(_AUCTION_OPENS[market], _CONTINUOUS_OPENS, closed="left")
    day = pl.col("session_date").cast(pl.Datetime("us"))
    opens = _utc(day + _since_midnight(_AUCTION_OPENS[market]), market)
    closes = _utc(day + _since_midnight(_CONTINUOUS_OPENS), market)
    phase = pl.when(auction).then(pl.lit("open_auction")).otherwise(pl.lit("continuous"))
    if survey.labels == "both":
        return rows.with_columns(session_phase=pl.coalesce("session_phase", phase))
    return rows.with_columns(
        pl.coalesce("session_phase", phase).alias("session_phase"),
        pl.when(auction).then(opens).otherwise("ts_open").alias("ts_open"),
        pl.when(auction).then(closes).otherwise("ts_close").alias("ts_close"),
    )


def _since_midnight(at: time) -> pl.Expr:
    return pl.duration(minutes=at.hour * 60 + at.minute)


def _with_units(rows: pl.DataFrame, survey: Survey) -> pl.DataFrame:
    ids = list(survey.instruments)
    units = [survey.instruments[each].units for each in ids]
    table = pl.DataFrame(
        {
            "instrument_id": ids,
            "volume_unit": [each.units.volume for each in units],
            "amount_unit": [each.units.amount for each in units],
            "in_quote": [each.volume_is_quote for each in units],
        },
        schema_overrides={"instrument_id": pl.String},
    )
    joined = rows.join(table, on="instrument_id", how="left", maintain_order="left")
    mean_price = pl.mean_horizontal(*PRICES)
    volume = pl.col("volume") * pl.col("volume_unit")
    amount = pl.col("amount") * pl.col("amount_unit")
    return joined.with_columns(
        pl.when("in_quote")
        .then(pl.when(mean_price > 0).then(volume / mean_price))
        .otherwise(volume)
        .alias("volume"),
        pl.when("in_quote").then(volume).otherwise(amount).alias("amount"),
        (pl.col("taker_volume") * pl.col("volume_unit")).alias("taker_volume"),
        (pl.col("taker_amount") * pl.col("amount_unit")).alias("taker_amount"),
        pl.when("in_quote")
        .then(pl.lit([QUOTE_VOLUME]))
        .otherwise(pl.lit([], dtype=pl.List(pl.String)))
        .alias("quality"),
    )


def _with_status(rows: pl.DataFrame, *, market: str, freq: str) -> pl.DataFrame:
    """No volume and one price (or none) is no trade; on a day's bar of a stock, a suspension."""
    one_price = (pl.col("high") == pl.col("low")) & (pl.col("open") == pl.col("close"))
    idle = (pl.col("volume") == 0) & (one_price | pl.col("close").is_null())
    without = "suspended" if freq == "1d" and market != "crypto" else "no_trade"
    guessed = pl.when(idle).then(pl.lit(without)).otherwise(pl.lit("traded"))
    status = pl.coalesce("status", guessed)
    traded = status == "traded"
    judged = rows.with_columns(status.alias("status"), traded.alias("has_traded"))
    return judged.with_columns(
        pl.when("has_traded").then(pl.col(*PRICES)),
        pl.when(pl.col("volume") == 0).then(0.0).otherwise("amount").alias("amount"),
    )


def _session_prev_close(rows: pl.DataFrame) -> pl.DataFrame:
    """The first bar's ``last_close`` is the session before's close; later bars carry it on."""
    opening = (pl.col("session_phase") == "open_auction") | (pl.col("ts_open") == pl.col("session_opens"))
    at_opening = pl.when(opening).then("prev_close")
    first = at_opening.sort_by("ts_open").drop_nulls().first().over("instrument_id", "session_date")
    return rows.with_columns(first.alias("prev_close"))


def _basis(survey: Survey) -> pl.Expr:
    if "price_basis" in survey.layout.columns:
        return pl.coalesce("price_basis", pl.lit(survey.layout.price_basis))
    return pl.lit(survey.price_basis.value)
