"""Checks that need an instrument's whole session or the close before it: units, price limits, tags.

They apply to unadjusted prices only; adjusted ones keep neither ticks nor limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from nofx_pipelines.market.adjust import action_terms, ex_reference
from nofx_pipelines.market.checks import PRICES, Rule, split
from nofx_pipelines.market.rules import price_limits
from nofx_pipelines.market.sessions import MarketCalendar

UNIT_BAND = (0.125, 8.0)
"""k = median(amount / volume / close) of a session in right units lies near 1; a unit is a factor of ten."""

PRINT_SLACK = 0.01
"""Share of the previous close by which a price may lie outside its limits before it is a bad print: the
exchanges' own rounding was not always half-up (Shenzhen before 2000)."""

_HALF_TICK = 0.005
_GROUP = ("instrument_id", "session_date")


def previous_close_window(freq: str) -> timedelta:
    """How far back a previous close is looked for; after a longer suspension it is unknown."""
    return timedelta(days=90 if freq == "1d" else 20)


def check_units(
    bars: pl.DataFrame, *, columns: Sequence[str], now: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Refuse bars whose amount and volume are in different units.

    A bar's mean price lies near its close, so k far from 1 refuses the bar; the median over an
    instrument's session refuses all of them, those without an amount included.
    """
    usable = (pl.col("volume") > 0) & (pl.col("amount") > 0) & (pl.col("close") > 0)
    judged = usable & (pl.col("price_basis") == "unadjusted") & (pl.col("asset_class") != "index")
    own = pl.when(judged).then(pl.col("amount") / pl.col("volume") / pl.col("close"))
    median = own.median().over(_GROUP)
    far_session, far_bar = (~k.is_between(*UNIT_BAND).fill_null(value=True) for k in (median, own))
    rule = Rule(
        "units",
        (far_session | far_bar) & (pl.col("status") == "traded"),
        "amount / volume / close is far from 1: volume or amount changed its unit",
        pl.when(far_session).then(median).otherwise(own),
    )
    return split(bars, [rule], columns=columns, now=now)


def with_previous_close(
    bars: pl.DataFrame, earlier: pl.DataFrame, actions: pl.DataFrame | None, *, freq: str
) -> pl.DataFrame:
    """Set ``prev_close`` where the source has none: the last close before the session, after its actions.

    ``earlier`` has ``instrument_id``, ``session_date``, ``close``, ``price_basis`` of sessions before.
    """
    closes = pl.concat([earlier.select(_CLOSES), session_closes(bars)]).unique(_GROUP).sort("session_date")
    given = pl.col("prev_close").drop_nulls().first().alias("_given")
    wanted = bars.group_by(_GROUP).agg(pl.col("price_basis").first(), given).sort("session_date")
    joined = wanted.join_asof(
        closes.with_columns(pl.col("session_date").alias("_closed_on")),
        on="session_date",
        by=["instrument_id", "price_basis"],
        allow_exact_matches=False,
        tolerance=previous_close_window(freq),
        check_sortedness=False,
    )
    referred = _after_actions(joined, actions).select(
        *_GROUP, pl.coalesce("_given", "close").alias("prev_close")
    )
    return bars.drop("prev_close").join(referred, on=_GROUP, how="left", maintain_order="left")


def session_closes(bars: pl.DataFrame) -> pl.DataFrame:
    """Last close of each instrument's session, where something traded."""
    traded = bars.lazy().filter(pl.col("close").is_not_null()).sort("ts_open")
    last = traded.group_by(_GROUP).agg(pl.col("close").last(), pl.col("price_basis").last())
    return last.select(_CLOSES).collect()


_CLOSES = ("instrument_id", "session_date", "close", "price_basis")


def _after_actions(joined: pl.DataFrame, actions: pl.DataFrame | None) -> pl.DataFrame:
    """Replace the last close by the reference price where an action lies between it and the session."""
    if actions is None or actions.is_empty():
        return joined
    terms = action_terms(actions)
    found = joined.join_asof(
        terms, left_on="session_date", right_on="ex_date", by="instrument_id", check_sortedness=False
    )
    between = (pl.col("ex_date") > pl.col("_closed_on")) & (pl.col("price_basis") == "unadjusted")
    reference = ex_reference(pl.col("close"))
    cents = ((reference * 100 + 0.5).floor() / 100).round(2)  # exchanges announce it to the cent
    rounded = pl.when(pl.col("instrument_id").str.starts_with("CN.")).then(cents).otherwise(reference)
    sound = between & (reference > 0)
    return found.with_columns(pl.when(sound).then(rounded).otherwise("close").alias("close"))


def with_limits(bars: pl.DataFrame, calendar: MarketCalendar) -> pl.DataFrame:
    """Set ``limit_up`` and ``limit_down`` of unadjusted A-share bars where the source gives none."""
    if calendar.market != "cn" or bars.is_empty():
        return bars
    keys = ("exchange", "board", "session_date", "prev_close", "listed_on", "asset_class", "price_basis")
    cases = _with_listed_sessions(bars.select(keys).unique(), calendar)
    unlimited = (pl.col("asset_class") == "index") | (pl.col("price_basis") != "unadjusted")
    limits = price_limits(cases).with_columns(
        pl.when(~unlimited).then("limit_up").alias("_up"),
        pl.when(~unlimited).then("limit_down").alias("_down"),
    )
    joined = bars.join(
        limits.select(*keys, "_up", "_down"), on=keys, how="left", nulls_equal=True, maintain_order="left"
    )
    return joined.with_columns(
        pl.coalesce("limit_up", "_up").alias("limit_up"),
        pl.coalesce("limit_down", "_down").alias("limit_down"),
    ).drop("_up", "_down")


def _with_listed_sessions(cases: pl.DataFrame, calendar: MarketCalendar) -> pl.DataFrame:
    """``listed_sessions``: sessions since the listing day, null when that is unknown."""
    last = cases.select(pl.max_horizontal("session_date", "listed_on").max()).item()
    days = calendar.sessions(calendar.verified_from, min(last + timedelta(days=1), calendar.verified_until))
    numbered = pl.DataFrame({"day": days}, schema={"day": pl.Date}).with_row_index("nth")
    at = numbered.select("day", pl.col("nth").cast(pl.Int64))
    first = cases.sort("listed_on").join_asof(
        at.rename({"nth": "_first"}), left_on="listed_on", right_on="day", strategy="forward"
    )
    placed = first.join(at.rename({"nth": "_here"}), left_on="session_date", right_on="day", how="left")
    return placed.with_columns((pl.col("_here") - pl.col("_first")).alias("listed_sessions"))


def check_limits(
    bars: pl.DataFrame, *, columns: Sequence[str], now: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Refuse bars that close inside the day's limits and have a price far outside of them: a bad print.

    A close outside says that the reference price is not the one assumed (a first day, an action that is
    not known): such a bar stays, tagged ``beyond_limit``, and so does one that is out by a rounding.
    """
    unadjusted = pl.col("price_basis") == "unadjusted"
    top, bottom = pl.col("limit_up") + _HALF_TICK, pl.col("limit_down") - _HALF_TICK
    slack = pl.col("prev_close") * PRINT_SLACK
    highest, lowest = pl.max_horizontal(*PRICES), pl.min_horizontal(*PRICES)
    far = (highest > top + slack) | (lowest < bottom - slack)
    close_inside = pl.col("close").is_between(bottom, top)
    named = ("low", "high", "limit_down", "limit_up")
    rule = Rule(
        "price_limit",
        unadjusted & far & close_inside,
        "low high limit_down limit_up: a price far outside the limits, with a close inside",
        pl.concat_str([pl.col(name).cast(pl.String) for name in named], separator=" "),
    )
    tagged = bars.with_columns(tag("beyond_limit", unadjusted & ((highest > top) | (lowest < bottom))))
    return split(tagged, [rule], columns=columns, now=now)


def with_tags(bars: pl.DataFrame) -> pl.DataFrame:
    """Mark bars that are locked at a limit, off the tick, or repeat the bar before in every number."""
    one_price = pl.col("high") == pl.col("low")
    same = pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(name).shift(1)).over("instrument_id", order_by="ts_open")
        for name in (*PRICES, "volume", "amount")
    )
    in_session = (pl.col("session_date") == pl.col("session_date").shift(1)).over(
        "instrument_id", order_by="ts_open"
    )
    cents = pl.col("close") * 100
    share = (pl.col("currency") == "CNY") & pl.col("board").is_in(["main", "chinext", "star", "bse"])
    off_tick = share & (pl.col("price_basis") == "unadjusted") & ((cents - cents.round()).abs() > 1e-6)
    locked = [
        one_price & ((pl.col("close") - pl.col(side)).abs() < _HALF_TICK)
        for side in ("limit_up", "limit_down")
    ]
    return (
        bars.with_columns(
            tag("limit_up_lock", locked[0]),
        )
        .with_columns(
            tag("limit_down_lock", locked[1]),
        )
        .with_columns(
            tag("stale", same & in_session & (pl.col("volume") > 0) & ~one_price),
        )
        .with_columns(
            tag("off_tick", off_tick),
        )
    )


def tag(name: str, where: pl.Expr) -> pl.Expr:
    """Append a word to ``quality`` where the expression is true."""
    extended = pl.col("quality").list.concat(pl.lit([name]))
    return pl.when(where.fill_null(value=False)).then(extended).otherwise("quality").alias("quality")
