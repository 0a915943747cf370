"""Times as files write them, to naive wall-clock times and the rows that name a zone."""

from __future__ import annotations

from datetime import datetime

import polars as pl

_WALL = pl.Datetime("us")
_OFFSET = r"\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
_LAYOUTS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M")
_EARLIEST, _LATEST = datetime(1970, 1, 1), datetime(2100, 1, 1)


def wall_clock(column: str, dtype: pl.DataType) -> tuple[pl.Expr, pl.Expr]:
    """``(wall, aware)``: the time as written, in UTC where the row says its offset, and whether it does.

    Digits alone are a date or a time of day by day (8, 12 or 14 of them, from 19 or 20 on), or an epoch by
    their number: 9 or 10 seconds, 12 or 13 milliseconds, 15 or 16 microseconds, 18 or 19 nanoseconds.
    What cannot be read, and what lies outside [1970, 2100), is null.
    """
    wall, aware = _parsed(column, dtype)
    return pl.when(wall.is_between(_EARLIEST, _LATEST, closed="left")).then(wall), aware


def _parsed(column: str, dtype: pl.DataType) -> tuple[pl.Expr, pl.Expr]:
    cell = pl.col(column)
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is None:
            return cell.cast(_WALL), pl.lit(value=False)
        return cell.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(_WALL), pl.lit(value=True)
    if dtype == pl.Date:
        return cell.cast(_WALL), pl.lit(value=False)
    if dtype.is_numeric():
        return _from_text(cell.cast(pl.Int64, strict=False).cast(pl.String))
    return _from_text(cell.cast(pl.String, strict=False).str.strip_chars())


def _from_text(text: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    digits = text.str.contains(r"^\d+$")
    compact = digits & text.str.contains(r"^(?:19|20)\d{6}(?:\d{4}|\d{6})?$")
    offset = text.str.extract(_OFFSET, 1)
    body = text.str.replace(r"\s*(?:Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$", "")
    plain = pl.when(offset.is_not_null()).then(body).otherwise(text)
    plain = plain.str.replace_all("/", "-", literal=True).str.replace(r"^(\S{8,10})T", "$1 ")
    written = pl.coalesce(plain.str.to_datetime(each, strict=False, time_unit="us") for each in _LAYOUTS)
    written = written - _offset(offset)
    sized = text.str.len_chars().is_in([9, 10, 12, 13, 15, 16, 18, 19])
    epoch = _epoch(pl.when(sized).then(text).cast(pl.Int64, strict=False))
    wall = pl.when(compact).then(_compact(text)).when(digits).then(epoch).otherwise(written)
    return wall, ((digits & ~compact) | offset.is_not_null()).fill_null(value=False)


def _compact(text: pl.Expr) -> pl.Expr:
    padded = text.str.pad_end(14, "0")
    return padded.str.to_datetime("%Y%m%d%H%M%S", strict=False, time_unit="us")


def _epoch(number: pl.Expr) -> pl.Expr:
    micros = (
        pl.when(number < 10**11)
        .then(number * 1_000_000)
        .when(number < 10**14)
        .then(number * 1_000)
        .when(number < 10**17)
        .then(number)
        .otherwise(number // 1_000)
    )
    return micros.cast(_WALL)


def _offset(offset: pl.Expr) -> pl.Expr:
    digits = offset.str.replace(":", "", literal=True)
    hours = digits.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = digits.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    sign = pl.when(digits.str.starts_with("-")).then(-1).otherwise(1)
    return pl.duration(minutes=sign * (hours * 60 + minutes))
