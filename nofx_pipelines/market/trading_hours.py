"""How a calendar's tables are built: trading days, hours in force, auctions, partial days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from nofx_pipelines.lake.schemas import UTC_US

GRID_SCHEMA = {"session_date": pl.Date(), "ts_open": UTC_US, "ts_close": UTC_US, "session_phase": pl.String()}


@dataclass(frozen=True)
class PartialDay:
    """A day on which the whole market opened late, closed early or was halted."""

    opens: datetime | None
    closes: datetime | None
    halts: tuple[tuple[datetime, datetime], ...]
    note: str

    @classmethod
    def of(cls, row: dict[str, Any], tz: ZoneInfo) -> PartialDay:
        def utc(text: str) -> datetime:
            hour, minute = text.split(":")
            day: date = row["date"]
            local = datetime(day.year, day.month, day.day, int(hour), int(minute), tzinfo=tz)
            return local.astimezone(ZoneInfo("UTC"))

        return cls(
            utc(row["opens"]) if "opens" in row else None,
            utc(row["closes"]) if "closes" in row else None,
            tuple((utc(a), utc(b)) for a, b in row.get("halts", [])),
            row["note"],
        )

    def shut(self) -> list[tuple[datetime, datetime]]:
        """Intervals of that day without trading."""
        day = timedelta(days=1)
        late = [(self.opens - day, self.opens)] if self.opens else []
        early = [(self.closes, self.closes + day)] if self.closes else []
        return [*late, *self.halts, *early]


def trading_days(span: dict[str, Any], closed: set[date]) -> tuple[list[date], set[date]]:
    """Sessions of the verified span, and the half days among them."""
    start, last = span["verified_from"], span["verified_until"] - timedelta(days=1)
    if "calendar" not in span:
        return pl.date_range(start, last, "1d", eager=True).to_list(), set()
    import exchange_calendars

    calendar = exchange_calendars.get_calendar(span["calendar"], start=str(start), end=str(last))
    days = [day.date() for day in calendar.sessions]
    half_days = {day.date() for day in calendar.early_closes}
    return [day for day in days if day not in closed], half_days - closed


def _minutes(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def _instant(minute_column: str, timezone: str) -> pl.Expr:
    local = pl.col("session_date").cast(pl.Datetime("us")) + pl.duration(minutes=pl.col(minute_column))
    return local.dt.replace_time_zone(timezone).dt.convert_time_zone("UTC")


def windows(
    days: list[date], hours: list[dict[str, Any]], intervals: list[list[list[str]]], timezone: str
) -> pl.DataFrame:
    """Each session's intervals under the hours in force: session_date, nth, seg_open, seg_close."""
    rules = pl.DataFrame(
        {
            "valid_from": [row["valid_from"] for row in hours],
            "from": [[_minutes(a) for a, _ in pairs] for pairs in intervals],
            "to": [[_minutes(b) for _, b in pairs] for pairs in intervals],
        },
        schema={"valid_from": pl.Date(), "from": pl.List(pl.Int64()), "to": pl.List(pl.Int64())},
    ).sort("valid_from")
    frame = pl.DataFrame({"session_date": days}, schema={"session_date": pl.Date()})
    frame = frame.join_asof(rules, left_on="session_date", right_on="valid_from")
    frame = frame.with_columns(pl.int_ranges(pl.col("from").list.len()).alias("nth")).explode(
        "from", "to", "nth"
    )
    return frame.select(
        "session_date",
        "nth",
        _instant("from", timezone).alias("seg_open"),
        _instant("to", timezone).alias("seg_close"),
    )


def continuous_segments(
    days: list[date], half_days: set[date], hours: list[dict[str, Any]], timezone: str
) -> pl.DataFrame:
    """The continuous trading of ordinary and half days; partial days are cut later."""
    frame = windows(days, hours, [row["segments"] for row in hours], timezone)
    afternoon_off = pl.col("session_date").is_in(sorted(half_days)) & (pl.col("nth") > 0)
    return frame.filter(~afternoon_off).drop("nth").sort("session_date", "seg_open")


def session_bounds(
    segments: pl.DataFrame, partials: dict[date, PartialDay], half_days: set[date]
) -> pl.DataFrame:
    """First and last instant of every session."""
    frame = (
        segments.group_by("session_date", maintain_order=True)
        .agg(pl.col("seg_open").min().alias("opens"), pl.col("seg_close").max().alias("closes"))
        .with_columns(pl.col("session_date").is_in(sorted(half_days)).alias("half_day"))
    )
    late = {day: partial.opens for day, partial in partials.items() if partial.opens}
    early = {day: partial.closes for day, partial in partials.items() if partial.closes}
    return frame.with_columns(_override("opens", late), _override("closes", early))


def _override(column: str, instants: dict[date, datetime]) -> pl.Expr:
    changed = pl.col(column)
    for day, instant in instants.items():
        changed = pl.when(pl.col("session_date") == day).then(pl.lit(instant, UTC_US)).otherwise(changed)
    return changed.alias(column)


def auction_windows(
    days: list[date], skipped: dict[str, set[date]], hours: list[dict[str, Any]], timezone: str
) -> pl.DataFrame:
    """Auction windows; late days have no opening auction, early closes no usual closing auction."""
    frames = [pl.DataFrame(schema=GRID_SCHEMA)]
    for phase, without in skipped.items():
        if all(phase in row for row in hours):
            kept = [day for day in days if day not in without]
            frame = windows(kept, hours, [[row[phase]] for row in hours], timezone)
            frames.append(
                frame.select(
                    "session_date",
                    pl.col("seg_open").alias("ts_open"),
                    pl.col("seg_close").alias("ts_close"),
                    pl.lit(phase).alias("session_phase"),
                )
            )
    return pl.concat(frames).sort("session_date", "ts_open")


def bars_of(segments: pl.DataFrame, minutes: int) -> pl.DataFrame:
    """Cut each segment into bars; the last one of a segment may be shorter."""
    step = pl.duration(minutes=minutes)
    frame = segments.with_columns(
        pl.datetime_ranges("seg_open", "seg_close", f"{minutes}m", closed="left").alias("ts_open")
    ).explode("ts_open")
    return frame.select(
        "session_date",
        "ts_open",
        pl.min_horizontal(pl.col("ts_open") + step, "seg_close").alias("ts_close"),
        pl.lit("continuous").alias("session_phase"),
    )
