"""What a bar must satisfy by itself and against the calendar; what fails goes to quarantine with a reason.

Each rule is a name, an expression that is true on a bad row, a reason and the offending value. The first
rule that a row breaks names it. Rules that need the bars around (units, price limits, holes) stand in
``session_checks``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import cast

import polars as pl

from nofx_pipelines.lake.schemas import QUARANTINE, UTC_US
from nofx_pipelines.market.fingerprints import text_hash
from nofx_pipelines.market.sessions import MarketCalendar

PRICES = ("open", "high", "low", "close")
QUIET = ("no_trade", "padded", "suspended", "halted", "source_hole")
"""Statuses of bars without a trade: their prices are not prices."""
WORDS = {
    "status": ("traded", "no_trade", "suspended", "halted", "padded", "source_hole"),
    "price_basis": ("unadjusted", "forward"),
    "session_phase": ("open_auction", "continuous", "close_auction", "all"),
}
"""What these columns of a bar may hold."""
ACTION_KINDS = ("dividend", "bonus", "rights", "split")

QUARANTINE_COLUMNS = {name: dtype for name, dtype in QUARANTINE.columns.items() if name != "run_id"}

_KEY = ("instrument_id", "ts_open", "source")
_ROUNDING = 1e-9
"""Relative slack for the order of prices, for files that round adjusted prices."""


@dataclass(frozen=True)
class Rule:
    """One named reason to refuse a row; ``bad`` is true on rows that break it, null counts as kept."""

    name: str
    bad: pl.Expr
    reason: str
    value: pl.Expr


def session_span(frame: pl.DataFrame) -> tuple[date, date]:
    """First and last session of a frame that has rows."""
    days = frame["session_date"]
    return cast("date", days.min()), cast("date", days.max())


def check_rows(
    bars: pl.DataFrame, calendar: MarketCalendar, *, freq: str, now: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split source bars into the good ones and quarantine rows.

    ``bars`` has the columns of ``SOURCE_BARS`` without ``revision`` and ``row_hash``. Of rows that share
    a key the first delivered is kept.
    """
    if bars.is_empty():
        return bars, pl.DataFrame(schema=QUARANTINE_COLUMNS)
    placed = _placed(bars, calendar, freq)
    rules = [*_row_rules(), *_time_rules(freq), _duplicate_rule()]
    good, rejects = split(placed, rules, columns=bars.columns, now=now)
    return good.select(bars.columns), rejects


def split(
    frame: pl.DataFrame, rules: Sequence[Rule], *, columns: Sequence[str], now: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that break no rule, and quarantine rows of the others; ``columns`` are kept as raw JSON."""
    broken = pl.coalesce([pl.when(rule.bad).then(pl.lit(at, pl.Int32)) for at, rule in enumerate(rules)])
    judged = frame.with_columns(broken.alias("_rule"))
    bad = judged.filter(pl.col("_rule").is_not_null())
    good = judged.filter(pl.col("_rule").is_null()).drop("_rule")
    parts = [pl.DataFrame(schema=QUARANTINE_COLUMNS)]
    for at in bad["_rule"].unique().sort():
        parts.append(quarantined(bad.filter(pl.col("_rule") == at), rules[at], columns=columns, now=now))
    return good, pl.concat(parts)


def quarantined(frame: pl.DataFrame, rule: Rule, *, columns: Sequence[str], now: datetime) -> pl.DataFrame:
    """Quarantine rows (without ``run_id``); the id is a hash of what was refused and why, not of when."""
    file = pl.col("raw_ref") if "raw_ref" in frame.columns else pl.lit(None, pl.String)
    rows = frame.select(
        "source",
        file.alias("file"),
        "instrument_id",
        "ts_open",
        pl.lit(rule.name).alias("rule"),
        pl.lit(rule.reason).alias("reason"),
        rule.value.cast(pl.String, strict=False).fill_null("null").alias("value"),
        pl.struct(columns).struct.json_encode().alias("raw"),
        pl.lit(now, UTC_US).alias("seen_at"),
    )
    return with_quarantine_ids(rows)


def with_quarantine_ids(rows: pl.DataFrame) -> pl.DataFrame:
    """Set ``quarantine_id`` of quarantine rows and order the columns; equal rows are numbered apart."""
    named = ("source", "file", "instrument_id", "ts_open", "rule", "value", "raw")
    text = rows.select(pl.col(name).cast(pl.String).fill_null("") for name in named)
    nth = text.select(pl.int_range(pl.len()).over(named)).to_series()
    ids = [text_hash([*cells, str(n)])[:32] for cells, n in zip(text.iter_rows(), nth, strict=True)]
    return rows.with_columns(pl.Series("quarantine_id", ids, dtype=pl.String)).select(
        pl.col(name).cast(dtype) for name, dtype in QUARANTINE_COLUMNS.items()
    )


def _row_rules() -> list[Rule]:
    """What a row must satisfy by itself."""
    traded = ~pl.col("status").is_in(QUIET)
    numbers = (*PRICES, "volume", "amount")
    listed = pl.concat_str([pl.col(name).cast(pl.String).fill_null("null") for name in PRICES], separator=" ")
    missing = pl.any_horizontal(pl.col(name).is_null() for name in PRICES)
    infinite = pl.any_horizontal(~pl.col(name).is_finite() for name in numbers)
    top, bottom = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    crossed = (pl.col("high") < top * (1 - _ROUNDING)) | (pl.col("low") > bottom * (1 + _ROUNDING))
    unsound = pl.min_horizontal("volume", "amount") < 0
    return [
        Rule("non_finite", infinite, "a price, the volume or the amount is NaN or infinite", listed),
        Rule("missing_price", traded & missing, "a traded bar lacks a price", listed),
        Rule(
            "missing_volume",
            traded & pl.col("volume").is_null(),
            "a traded bar lacks its volume",
            pl.lit("null"),
        ),
        Rule(
            "non_positive_price",
            traded & (pl.min_horizontal(*PRICES) <= 0),
            "open high low close must be above zero",
            listed,
        ),
        Rule(
            "ohlc_order",
            traded & crossed,
            "open high low close: open and close must lie in [low, high]",
            listed,
        ),
        Rule(
            "negative_volume",
            unsound,
            "volume and amount must not be negative",
            pl.min_horizontal("volume", "amount"),
        ),
    ]


def _time_rules(freq: str) -> list[Rule]:
    """Where a row must lie; needs the columns of ``_placed``."""
    times = pl.concat_str(
        pl.col("ts_open").cast(pl.String), pl.lit(" .. "), pl.col("ts_close").cast(pl.String)
    )
    day = pl.col("session_date").cast(pl.String)
    return [
        Rule(
            "calendar_unverified", ~pl.col("_verified"), "the session lies outside the verified calendar", day
        ),
        Rule("not_a_session", ~pl.col("_session"), "the market is closed on this day", day),
        Rule("out_of_session", ~pl.col("_inside"), "the bar lies outside the session's trading", times),
        Rule(
            "off_grid",
            ~pl.col("_on_grid"),
            f"the bar's ends are not those of a {freq} bar of this session",
            times,
        ),
    ]


def _duplicate_rule() -> Rule:
    repeated = pl.int_range(pl.len()).over(_KEY) > 0
    return Rule(
        "duplicate_key", repeated, "a bar of this instrument and time came before it", pl.col("close")
    )


def _placed(bars: pl.DataFrame, calendar: MarketCalendar, freq: str) -> pl.DataFrame:
    """Add ``_verified``, ``_session``, ``_inside`` and ``_on_grid``."""
    first, last = session_span(bars)
    start = max(first, calendar.verified_from)
    end = min(last + timedelta(days=1), calendar.verified_until)
    if not start < end:
        return bars.with_columns(
            pl.lit(value=False).alias(n) for n in ("_verified", "_session", "_inside", "_on_grid")
        )
    bounds = calendar.bounds(start, end).select("session_date", "opens", "closes")
    grid = calendar.grid(freq, start, end).select(
        "session_date", "ts_open", pl.col("ts_close").alias("_grid_close")
    )
    auctions = calendar.auctions(start, end).select(
        "session_date", "session_phase", pl.col("ts_open").alias("_from"), pl.col("ts_close").alias("_to")
    )
    in_auction = (pl.col("ts_open") >= pl.col("_from")) & (pl.col("ts_close") <= pl.col("_to"))
    in_session = (pl.col("ts_open") >= pl.col("opens")) & (pl.col("ts_close") <= pl.col("closes"))
    verified = pl.col("session_date").is_between(start, end, closed="left")
    auction = in_auction.fill_null(value=False)
    return (
        bars.join(bounds, on="session_date", how="left", maintain_order="left")
        .join(grid, on=["session_date", "ts_open"], how="left", maintain_order="left")
        .join(auctions, on=["session_date", "session_phase"], how="left", maintain_order="left")
        .with_columns(
            verified.alias("_verified"),
            pl.col("opens").is_not_null().alias("_session"),
            (in_session.fill_null(value=False) | auction).alias("_inside"),
            ((pl.col("ts_close") == pl.col("_grid_close")).fill_null(value=False) | auction).alias(
                "_on_grid"
            ),
        )
    )
