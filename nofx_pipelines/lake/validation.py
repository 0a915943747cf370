"""What is checked before a frame enters a table: columns, dtypes, nulls, NaN and keys."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from nofx_pipelines.errors import LakeError
from nofx_pipelines.lake.schemas import TableSchema

_KEPT = "nothing was written"


def conform(frame: pl.DataFrame, schema: TableSchema, where: str) -> pl.DataFrame:
    """Return ``frame`` with its columns in the schema's order, or raise `LakeError`.

    ``where`` names the table in messages (``cn/bars``).
    """
    columns = check_columns(frame.schema, schema, where)
    frame = frame.select(columns)
    _check_nulls(frame, schema, where)
    _check_nan(frame, schema, where)
    _check_key(frame, schema, where)
    return frame


def check_columns(found: pl.Schema, schema: TableSchema, where: str) -> list[str]:
    """Check names and dtypes; return the columns in storage order."""
    for column, dtype in schema.columns.items():
        if column not in found:
            raise _refused(where, column, "is missing", f"it is {dtype} in every row")
        if found[column] != dtype:
            raise _refused(where, column, f"is {found[column]}", f"it must be {dtype}")
    extra = [column for column in found if column not in schema.columns]
    for column in extra:
        if not schema.open_ended:
            raise _refused(where, column, "is not in the schema", f"columns are {', '.join(schema.columns)}")
        if found[column] != pl.Float64:
            raise _refused(where, column, f"is {found[column]}", "further columns must be Float64")
    return [*schema.columns, *sorted(extra)]


def _refused(where: str, column: str, problem: str, rule: str) -> LakeError:
    return LakeError(f"{where}: column {column!r} {problem}; {rule}", kept=_KEPT, hint=f"correct {column!r}")


def _first(frame: pl.DataFrame, bad: pl.Series, key: Sequence[str]) -> str:
    """The first bad row, by position and key."""
    row = int(bad.arg_true()[0])
    named = ", ".join(f"{column}={frame[column][row]}" for column in key)
    return f"{bad.sum()} rows, the first is row {row} ({named})"


def _check_nulls(frame: pl.DataFrame, schema: TableSchema, where: str) -> None:
    for column in schema.columns:
        series = frame.get_column(column)
        if column not in schema.nullable and series.null_count():
            at = _first(frame, series.is_null(), schema.key)
            raise _refused(where, column, f"is null in {at}", "it may not be null")


def _check_nan(frame: pl.DataFrame, schema: TableSchema, where: str) -> None:
    for series in frame.get_columns():
        bad = _nan(series)
        if bad is not None and bad.any():
            at = _first(frame, bad, schema.key)
            raise _refused(where, series.name, f"is NaN in {at}", "what is unknown must be null")


def _nan(series: pl.Series) -> pl.Series | None:
    """Which rows hold a NaN anywhere, or None where the dtype cannot hold one."""
    if series.dtype.is_float():
        return series.is_nan().fill_null(False)
    if isinstance(series.dtype, pl.List):
        inner = series.dtype.inner
        if not isinstance(inner, pl.DataType) or not (inner.is_float() or inner.is_nested()):
            return None
        found = [value is not None and _nan_within(value) for value in series]
        return pl.Series(series.name, found, dtype=pl.Boolean)
    if isinstance(series.dtype, pl.Struct):
        fields = [_nan(series.struct.field(name)) for name in series.struct.fields]
        known = [field for field in fields if field is not None]
        return pl.select(pl.any_horizontal(known)).to_series() if known else None
    return None


def _nan_within(values: pl.Series) -> bool:
    bad = _nan(values)
    return bad is not None and bool(bad.any())


def _check_key(frame: pl.DataFrame, schema: TableSchema, where: str) -> None:
    if not schema.key or not frame.height:
        return
    repeated = frame.select(pl.struct(schema.key).is_duplicated()).to_series()
    if repeated.any():
        at = _first(frame, repeated, schema.key)
        raise LakeError(
            f"{where}: the key ({', '.join(schema.key)}) repeats in {at}; it names one row",
            kept=_KEPT,
            hint="drop or quarantine the duplicates",
        )
