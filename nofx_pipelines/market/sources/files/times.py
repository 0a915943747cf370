"""Times as files write them, to naive wall-clock times and the rows that name a zone."""

from __future__ import annotations

from datetime import datetime

import polars as pl

_WALL = pl.Datetime("us")
_OFFSET = r"\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
_USUAL = "%Y-%m-%d %H:%M:%S"
_LAYOUTS = (
    _USUAL,
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y%m%d %H:%M:%S",
    "%Y%m%d %H:%M",
)
_EARLIEST, _LATEST = datetime(1970, 1, 1), datetime(2100, 1, 1)

_Read = tuple[pl.Series, pl.Series]


def wall_clock(cells: pl.Series) -> _Read:
    """``(wall, aware)``: the time as written, in UTC where the row says its offset, and whether it does.

    Digits alone are a date or a time of day by day (8, 12 or 14 of them, from 19 or 20 on), or an epoch by
    their number: 9 or 10 seconds, 12 or 13 milliseconds, 15 or 16 microseconds, 18 or 19 nanoseconds.
    What cannot be read, and what lies outside [1970, 2100), is null.

    >>> wall, aware = wall_clock(pl.Series(["2019-07-02 09:30:00", "2019-07-02T09:30:00+08:00", "noon"]))
    >>> wall.dt.strftime("%H:%M").to_list(), aware.to_list()
    (['09:30', '01:30', None], [False, True, False])
    """
    wall, aware = _parsed(cells)
    inside = wall.is_between(_EARLIEST, _LATEST, closed="left").fill_null(value=False)
    return wall.set(~inside, None), aware


def _parsed(cells: pl.Series) -> _Read:
    dtype = cells.dtype
    if isinstance(dtype, pl.Datetime):
        zoned = dtype.time_zone is not None
        wall = cells.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zoned else cells
        return wall.cast(_WALL), _flags(cells, value=zoned)
    if dtype == pl.Date:
        return cells.cast(_WALL), _flags(cells, value=False)
    if dtype.is_numeric():
        return _of_text(cells.cast(pl.Int64, strict=False).cast(pl.String))
    return _of_text(cells.cast(pl.String, strict=False).str.strip_chars())


def _of_text(text: pl.Series) -> _Read:
    """The usual layout first: what it leaves is read by ever slower ways."""
    wall, aware = text.str.to_datetime(_USUAL, strict=False, time_unit="us"), _flags(text, value=False)
    for rest_of, read in ((_is_digits, _of_digits), (_is_text, _of_writing)):
        rest = (wall.is_null() & rest_of(text)).fill_null(value=False)
        if rest.any():
            values, zoned = read(text.filter(rest))
            at = rest.arg_true()
            wall, aware = wall.scatter(at, values), aware.scatter(at, zoned)
    return wall, aware


def _is_digits(text: pl.Series) -> pl.Series:
    return text.str.contains(r"^\d+$")


def _is_text(text: pl.Series) -> pl.Series:
    return ~_is_digits(text)


def _of_digits(text: pl.Series) -> _Read:
    compact = text.str.contains(r"^(?:19|20)\d{6}(?:\d{4}|\d{6})?$")
    if compact.all():
        return _compact(text), ~compact
    epoch = _epoch(text.set(~text.str.len_chars().is_in([9, 10, 12, 13, 15, 16, 18, 19]), None))
    return (_compact(text).zip_with(compact, epoch) if compact.any() else epoch), ~compact


def _compact(text: pl.Series) -> pl.Series:
    return text.str.pad_end(14, "0").str.to_datetime("%Y%m%d%H%M%S", strict=False, time_unit="us")


def _epoch(text: pl.Series) -> pl.Series:
    number = pl.col("epoch")
    micros = (
        pl.when(number < 10**11)
        .then(number * 1_000_000)
        .when(number < 10**14)
        .then(number * 1_000)
        .when(number < 10**17)
        .then(number)
        .otherwise(number // 1_000)
    )
    whole = text.cast(pl.Int64, strict=False).alias("epoch").to_frame()
    return whole.select(micros.cast(_WALL)).to_series()


def _of_writing(text: pl.Series) -> _Read:
    offset = text.str.extract(_OFFSET, 1)
    aware = offset.is_not_null()
    plain = text
    if aware.any():
        body = text.str.replace(r"\s*(?:Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$", "")
        plain = body.zip_with(aware, text)
    plain = plain.str.replace_all("/", "-", literal=True).str.replace(r"^(\S{8,10})T", "$1 ")
    return _written(plain) - _offset(offset), aware


def _written(text: pl.Series) -> pl.Series:
    wall = pl.Series([None], dtype=_WALL).new_from_index(0, len(text))
    for layout in _LAYOUTS:
        rest = wall.is_null()
        if rest.any():
            values = text.filter(rest).str.to_datetime(layout, strict=False, time_unit="us")
            wall = wall.scatter(rest.arg_true(), values)
    return wall


def _offset(offset: pl.Series) -> pl.Series:
    digits = offset.str.replace(":", "", literal=True)
    hours = digits.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = digits.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    west = digits.str.starts_with("-").fill_null(value=False)
    total = hours * 60 + minutes
    return (total.set(west, None).fill_null(-total) * 60_000_000).cast(pl.Duration("us"))


def _flags(cells: pl.Series, *, value: bool) -> pl.Series:
    return pl.Series([value]).new_from_index(0, len(cells))
