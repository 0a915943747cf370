"""Expected bars that no source delivered: rows without prices, with the best known reason.

A source that is known to leave out suspended days or bars without a trade says so in the ``quality`` of
the bars it has; then what is missing is ``suspended`` (a share's whole day, while others traded, tag
``inferred_suspension``) or ``no_trade``. Any other gap is a ``source_hole``. Everything is decided from
the session itself, so that a session built alone equals the same session of a long run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import polars as pl

from nofx_pipelines.lake.schemas import BARS, EXCLUDED_SESSIONS, UTC_US
from nofx_pipelines.market.checks import PRICES
from nofx_pipelines.market.sessions import MarketCalendar

HOLE_SHARE = 0.5
"""A session with more than this share of its expected bars missing or refused is left out."""

GAPS_NO_TRADE, GAPS_SUSPENDED = "gaps_no_trade", "gaps_suspended"
"""Quality tags of source bars: this source leaves out bars without a trade, or a suspended share's days."""

FACTS = ("exchange", "board", "asset_class", "currency", "listed_on")
"""What the checks know of an instrument."""

_HABITS = [GAPS_NO_TRADE, GAPS_SUSPENDED]
_GROUP = ("instrument_id", "session_date")
_ZEROED, _UNKNOWN = ("volume", "amount"), ("n_trades", "taker_volume", "taker_amount")
_SESSION_WIDE = ("prev_close", "limit_up", "limit_down")


def alive(instruments: pl.DataFrame, sessions: Sequence[date]) -> pl.DataFrame:
    """Instrument, session and the facts in force, for every session in an instrument's life."""
    since = pl.max_horizontal(pl.col("valid_from"), pl.col("listed_on"))
    until = pl.min_horizontal("valid_to", "delisted_on")
    days = pl.DataFrame({"session_date": list(sessions)}, schema={"session_date": pl.Date()})
    lives = instruments.select("instrument_id", *FACTS, since.alias("_since"), until.alias("_until"))
    inside = (pl.col("session_date") >= pl.col("_since")) & (
        pl.col("_until").is_null() | (pl.col("session_date") < pl.col("_until"))
    )
    return (
        days.join(lives, how="cross")
        .filter(inside)
        .sort("_since")
        .unique(_GROUP, keep="last", maintain_order=True)
        .drop("_since", "_until")
    )


def with_gaps(
    rows: pl.DataFrame,
    delivered: pl.DataFrame,
    expected: pl.DataFrame,
    calendar: MarketCalendar,
    *,
    freq: str,
    rejects: pl.DataFrame,
) -> pl.DataFrame:
    """Add a row without prices for every expected bar that is not there.

    ``rows`` are the checked bars and ``delivered`` those before the checks, both with ``FACTS``;
    ``expected`` is ``alive``. A session of which nothing was delivered gets no rows.
    """
    names = [*BARS.columns, *FACTS]
    cleaned = rows.with_columns(pl.col("quality").list.filter(~pl.element().is_in(_HABITS)).alias("quality"))
    if delivered.is_empty():
        return cleaned.select(names)
    refused = rejects.select("instrument_id", "ts_open", pl.lit(value=True).alias("_refused")).unique()
    reference = rows.group_by(_GROUP).agg(pl.col(name).first().alias(f"_{name}") for name in _SESSION_WIDE)
    facts = (
        _gaps(rows, delivered, expected, calendar, freq)
        .join(_instrument_sessions(delivered), on=_GROUP, how="left")
        .join(reference, on=_GROUP, how="left")
        .join(refused, on=["instrument_id", "ts_open"], how="left")
        .join(_whole_sessions(delivered), on="session_date", how="inner")
        .with_columns(_gap_status().alias("status"))
    )
    return pl.concat([cleaned.select(names), _filled(facts, freq).select(names)], how="vertical_relaxed")


def _instrument_sessions(delivered: pl.DataFrame) -> pl.DataFrame:
    """What the bars that an instrument has in a session say about those that it lacks."""
    return delivered.group_by(_GROUP).agg(
        pl.col("quality").list.contains(GAPS_NO_TRADE).any().alias("_omits"),
        pl.col("is_final").all().alias("_final"),
        pl.col("source").first().alias("_source"),
        pl.col("price_basis").first().alias("_price_basis"),
    )


def _whole_sessions(delivered: pl.DataFrame) -> pl.DataFrame:
    """The same for an instrument without any bar: what the others of the session say."""
    shares = pl.col("asset_class") != "index"
    return delivered.group_by("session_date").agg(
        (shares & pl.col("quality").list.contains(GAPS_SUSPENDED)).any().alias("_omits_days"),
        pl.col("is_final").all().alias("_day_final"),
        pl.col("source").mode().min().alias("_day_source"),
        pl.col("price_basis").mode().min().alias("_day_basis"),
    )


def _filled(facts: pl.DataFrame, freq: str) -> pl.DataFrame:
    known = pl.col("status") != "source_hole"
    return facts.with_columns(
        pl.lit(freq).alias("freq"),
        *[pl.lit(None, pl.Float64).alias(name) for name in PRICES],
        *[pl.lit(None, BARS.columns[name]).alias(name) for name in _UNKNOWN],
        *[pl.when(known).then(0.0).alias(name) for name in _ZEROED],
        *[pl.col(f"_{name}").alias(name) for name in _SESSION_WIDE],
        pl.coalesce("_source", "_day_source").alias("source"),
        pl.coalesce("_price_basis", "_day_basis").alias("price_basis"),
        pl.coalesce("_final", "_day_final").alias("is_final"),
        pl.lit(0, pl.Int32).alias("revision"),
        pl.col("ts_close").alias("knowledge_time"),
        _gap_quality().alias("quality"),
    )


def _gaps(
    rows: pl.DataFrame, delivered: pl.DataFrame, expected: pl.DataFrame, calendar: MarketCalendar, freq: str
) -> pl.DataFrame:
    """Expected bars without a row, in the sessions of which anything was delivered."""
    days = delivered["session_date"].unique().sort()
    held = pl.col("session_date").is_in(days.implode())
    grid = calendar.grid(freq, days[0], days[-1] + timedelta(days=1)).filter(held)
    wanted = expected.filter(held).join(grid, on="session_date")
    return wanted.join(rows, on=["instrument_id", "ts_open"], how="anti")


def _gap_status() -> pl.Expr:
    taken = pl.col("_refused").fill_null(value=False)
    absent = pl.col("_source").is_null() & (pl.col("asset_class") == "equity") & pl.col("_omits_days")
    left_out = pl.col("_omits").fill_null(value=False)
    quiet = pl.when(left_out & ~taken).then(pl.lit("no_trade")).otherwise(pl.lit("source_hole"))
    return pl.when(absent & ~taken).then(pl.lit("suspended")).otherwise(quiet)


def _gap_quality() -> pl.Expr:
    refused = pl.col("_refused").fill_null(value=False)
    inferred = pl.col("status") == "suspended"
    return (
        pl.when(refused)
        .then(pl.lit(["quarantined"]))
        .when(inferred)
        .then(pl.lit(["inferred_suspension"]))
        .otherwise(pl.lit([], pl.List(pl.String)))
    )


def excluded_sessions(bars: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Sessions with too many holes, and sessions that are not final yet."""
    expected = bars.filter(pl.col("session_phase").is_in(["continuous", "all"]))
    hole = pl.col("status") == "source_hole"
    refused = hole & pl.col("quality").list.contains("quarantined")
    counted = expected.group_by("session_date").agg(
        hole.sum().alias("holes"),
        refused.sum().alias("refused"),
        pl.len().alias("n"),
        pl.col("is_final").all(),
    )
    holed = pl.col("holes") > HOLE_SHARE * pl.col("n")
    bad = counted.filter(holed | ~pl.col("is_final")).sort("session_date")
    mostly_refused = pl.col("refused") * 2 > pl.col("holes")
    rule = pl.when(~holed).then(pl.lit("not_final")).when(mostly_refused).then(pl.lit("refused_bars"))
    reason = pl.format(
        "{} of {} expected bars are missing, {} of them refused",
        pl.col("holes"),
        pl.col("n"),
        pl.col("refused"),
    )
    return bad.select(
        pl.lit("bars").alias("table"),
        "session_date",
        rule.otherwise(pl.lit("source_hole")).alias("rule"),
        pl.when(holed).then(reason).otherwise(pl.lit("the session has not settled")).alias("reason"),
        pl.lit(now, UTC_US).alias("decided_at"),
    ).select(pl.col(name).cast(dtype) for name, dtype in EXCLUDED_SESSIONS.columns.items())
