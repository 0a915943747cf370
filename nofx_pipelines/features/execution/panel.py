"""Bars as the executors read them: traded rows, checked, sorted by instrument and time."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.algebra.clocks import TRADED
from nofx_pipelines.features.algebra.operators import CLOCK_COLUMNS, OPTIONAL_COLUMNS
from nofx_pipelines.features.execution.numba_engine import Rows
from nofx_pipelines.features.kernel import histories
from nofx_pipelines.features.kernel.cache import first_call

KEY = ("instrument_id", "ts_close", "session_date")


def bar_rows(bars: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The traded bars' keys and ``columns`` (Float64), sorted; FeatureError on what cannot be computed on.

    With ``traded`` among the columns all bars, those that were not traded without their numbers.
    """
    needed = (*KEY, *dict.fromkeys(_source(bars, name) for name in columns if name not in _OPTIONAL))
    missing = [name for name in needed if name not in bars.columns]
    if missing:
        raise FeatureError(f"bars lack {missing}", hint=f"they have {bars.columns}; pass the table bars")
    if TRADED in columns:
        known = pl.when(_traded(bars)).then
        numbers = [
            _numbers(bars, n) if n in CLOCK_COLUMNS else known(_numbers(bars, n)).alias(n) for n in columns
        ]
        rows = bars.select(*KEY, *numbers)
    else:
        traded = bars.filter(_traded(bars)) if "status" in bars.columns else bars
        rows = traded.select(*KEY, *(_numbers(traded, name) for name in columns))
    nameless = [name for name in KEY[:2] if rows[name].null_count()]
    if nameless:
        raise FeatureError(f"bars without {nameless}", hint="every bar has an instrument and a close")
    apart = _apart(rows)
    if apart is None or (apart <= 0).any():
        rows = rows.sort("instrument_id", "ts_close")
        apart = _apart(rows)
    assert apart is not None
    twice = np.flatnonzero(apart == 0) + 1
    if len(twice):
        who, when = rows.row(int(twice[0]))[:2]
        raise FeatureError(
            f"{who} has two bars that close at {when}", hint="one row a bar; see nofx sql on bars"
        )
    return rows


_SOURCES = {
    "open_minute": "ts_open",
    "close_minute": "ts_close",
    "session_day": "session_date",
    "minute_of_day": "ts_close",
    "in_auction": "session_phase",
}
"""The column of bars that a number is made of, where it is another."""
_MINUTE = 60_000_000
_DECIMAL = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_GROUPS = ("sector", "board")
"""Columns whose texts name a group: only their equality means something."""
_OPTIONAL = (*OPTIONAL_COLUMNS, TRADED)
"""Columns that bars need not have."""


def _source(bars: pl.DataFrame, name: str) -> str:
    """The column that a number is made of; the number itself where it was made before."""
    made_of = _SOURCES.get(name, name)
    return name if made_of not in bars.columns and name in bars.columns else made_of


def _traded(bars: pl.DataFrame) -> pl.Expr:
    return pl.col("status") == "traded" if "status" in bars.columns else pl.lit(value=True)


def _numbers(bars: pl.DataFrame, name: str) -> pl.Expr:
    """A column of bars as numbers."""
    source = pl.col(_source(bars, name))
    if name in _SOURCES and _source(bars, name) == name:
        number = source.cast(pl.Float64)
    elif name == TRADED:
        number = source.cast(pl.Float64) if TRADED in bars.columns else _traded(bars).cast(pl.Float64)
    elif name in ("open_minute", "close_minute"):
        number = source.dt.epoch("us") / _MINUTE
    elif name == "session_day":
        number = source.to_physical().cast(pl.Float64)
    elif name == "minute_of_day":
        number = source.dt.hour().cast(pl.Float64) * 60 + source.dt.minute()
    elif name == "in_auction":
        number = source.str.ends_with("auction").cast(pl.Float64)
    elif name in OPTIONAL_COLUMNS and name not in bars.columns:
        number = pl.lit(None, dtype=pl.Float64)
    elif name in _GROUPS and bars.schema[name] == pl.String:
        number = source.replace_strict(_codes(bars[name]), return_dtype=pl.Float64, default=None)
    elif bars.schema[name] == pl.String:
        number = pl.lit(text_numbers(bars[name]))
    elif not (bars.schema[name].is_numeric() or bars.schema[name] in (pl.Null, pl.Boolean)):
        raise FeatureError(
            f"column {name!r} of the bars is {bars.schema[name]}, not a number",
            kept="nothing was computed",
            hint=f"cast {name!r} to Float64",
        )
    else:
        number = source.cast(pl.Float64)
    return number.alias(name)


def text_numbers(texts: pl.Series) -> pl.Series:
    """Decimal texts ("12.5", "1e-7") as Float64, null as null; FeatureError names the column and the first
    text that is no finite number.

    >>> text_numbers(pl.Series("close", ["12.5", None])).to_list()
    [12.5, None]
    """
    bare = texts.str.strip_chars()
    numbers = bare.cast(pl.Float64, strict=False)
    wrong = texts.is_not_null() & ~(bare.str.contains(_DECIMAL) & numbers.is_finite()).fill_null(value=False)
    if wrong.any():
        raise FeatureError(
            f"column {texts.name!r} of the bars is text, and {texts.filter(wrong)[0]!r} is not a number",
            kept="nothing was computed",
            hint=f"give {texts.name!r} as numbers, null where one is missing",
        )
    return numbers


def _codes(texts: pl.Series) -> dict[str, float]:
    """A number for each text, the same in every call."""
    return {
        text: float(int.from_bytes(blake2b(text.encode(), digest_size=6).digest(), "little"))
        for text in texts.drop_nulls().unique().to_list()
    }


def _apart(rows: pl.DataFrame) -> NDArray[np.int64] | None:
    """How much later than each row the next of its instrument is, 1 for another instrument's; None where
    the instruments are not one after the other in alphabetical order. Those of the lake mostly are.
    """
    runs = rows["instrument_id"].rle().struct.unnest()
    if not (runs["value"].is_sorted() and runs["value"].is_unique().all()):
        return None
    apart = np.diff(rows["ts_close"].to_physical().to_numpy())
    apart[runs["len"].cast(pl.Int64).cum_sum().to_numpy()[:-1] - 1] = 1
    return apart


def nullable(name: str, values: NDArray[np.float64]) -> pl.Series:
    """A Float64 column over the array's own memory, null where it is NaN."""
    found = np.empty(-(-len(values) // 8), np.uint8)
    if first_call(histories.valid_bits, values, found) == len(values):
        return pl.Series(name, values)
    bits = pa.py_buffer(found)
    array = pa.Array.from_buffers(pa.float64(), len(values), [bits, pa.py_buffer(values)])
    return pl.Series(name, array)


def as_rows(rows: pl.DataFrame, columns: Sequence[str], instruments: Sequence[str]) -> Rows:
    """Arrays of sorted rows, for ``instruments`` (sorted, a superset of those in the rows)."""
    values = np.empty((len(columns), rows.height))
    for k, name in enumerate(columns):
        values[k] = rows[name].to_numpy()  # null is NaN there
        values[k][np.isinf(values[k])] = np.nan
    names = rows["instrument_id"]
    cuts = (
        names.search_sorted(pl.Series(instruments, dtype=pl.String)).to_numpy()
        if instruments
        else np.zeros(0)
    )
    return Rows(
        instruments=tuple(instruments),
        offsets=np.append(cuts, rows.height).astype(np.int64),
        columns=values,
        times=rows["ts_close"].dt.epoch("us").to_numpy().astype(np.int64),
        sessions=rows["session_date"].to_physical().to_numpy().astype(np.int64),
    )
