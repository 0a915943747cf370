"""Content hashes: SHA-256 of rows in canonical form, the same on every machine and in any row order.

Canonical form: rows sorted by the table's key; columns by name; a column that is null throughout
counts as absent (a column that is added later leaves old sessions' hashes as they were). Each
column is fed as name, kind, null mask and little-endian values, nulls as zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from hashlib import _Hash

_NESTED = (pl.List, pl.Struct, pl.Binary)


def canonical(frame: pl.DataFrame, order: Sequence[str]) -> pl.DataFrame:
    """Sort rows by ``order`` (a table's key), then, where keys repeat, by the other flat columns."""
    ordered = frame.sort(list(order), nulls_last=False) if order else frame
    if order and not frame.select(pl.struct(order).is_duplicated().any()).item():
        return ordered
    rest = [c for c in sorted(frame.columns) if c not in order and frame.schema[c].base_type() not in _NESTED]
    return frame.sort([*order, *rest], nulls_last=False) if order or rest else frame


def digest(frame: pl.DataFrame) -> str:
    """SHA-256 of the rows of ``frame`` in their present order (see `canonical`).

    >>> digest(pl.DataFrame({"a": [1.0]})) == digest(pl.DataFrame({"b": [None], "a": [1.0]}))
    True
    """
    return _digest(_columns(frame), 0, frame.height)


def session_digests(
    frame: pl.DataFrame, session_column: str, key: Sequence[str]
) -> dict[date, tuple[str, int]]:
    """Content hash and row count of each session in ``frame``."""
    others = [column for column in key if column != session_column]
    ordered = canonical(frame, [session_column, *others])
    columns = _columns(ordered)
    counts = ordered.group_by(session_column).len().sort(session_column)
    result: dict[date, tuple[str, int]] = {}
    offset = 0
    for session, rows in counts.iter_rows():
        result[session] = (_digest(columns, offset, offset + rows), rows)
        offset += rows
    return result


def combined(digests: Iterable[str]) -> str:
    """One hash for several parts of the same session, whatever their order.

    >>> combined(["aa"]), combined(["aa", "bb"]) == combined(["bb", "aa"])
    ('aa', True)
    """
    parts = sorted(digests)
    return parts[0] if len(parts) == 1 else hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _columns(frame: pl.DataFrame) -> list[tuple[str, _Flat | _Nested]]:
    """The columns by name, laid out so that any range of rows is hashed without touching the others."""
    laid: list[tuple[str, _Flat | _Nested]] = []
    for name in sorted(frame.columns):
        series = frame.get_column(name)
        nested = series.dtype.base_type() in (pl.List, pl.Struct)
        laid.append((name, _Nested(series) if nested else _Flat(series)))
    return laid


def _digest(columns: Sequence[tuple[str, _Flat | _Nested]], start: int, end: int) -> str:
    sha = hashlib.sha256(b"nofx rows 1 %d" % (end - start))
    for name, column in columns:
        if not column.null[start:end].all():
            _feed_text(sha, name)
            column.feed(sha, start, end)
    return sha.hexdigest()


class _Flat:
    """One column of numbers, times, text or bytes: values as one buffer, nulls as one mask."""

    def __init__(self, series: pl.Series) -> None:
        kind = series.dtype.base_type()
        self.kind = kind.__name__
        self.null = series.is_null().to_numpy()
        self.sizes: np.ndarray[Any, Any] | None = None
        if kind in (pl.String, pl.Binary):
            binary = series.cast(pl.Binary)
            self.sizes = binary.bin.size().fill_null(0).cast(pl.Int64).to_numpy().astype("<i8")
            self.offsets = np.concatenate([[0], np.cumsum(self.sizes)])
            self.data = memoryview(b"".join(binary.drop_nulls().to_list()))
        else:
            self.values = _fixed_width(series)

    def feed(self, sha: _Hash, start: int, end: int) -> None:
        """Feed kind, null mask and values of the rows ``[start, end)``."""
        _feed_kind(sha, self.kind, self.null[start:end])
        if self.sizes is None:
            sha.update(self.values[start:end].tobytes())
        else:
            sha.update(self.sizes[start:end].tobytes())
            sha.update(self.data[self.offsets[start] : self.offsets[end]])


class _Nested:
    """One column of lists or structs, taken apart range by range."""

    def __init__(self, series: pl.Series) -> None:
        self.series = series
        self.null = series.is_null().to_numpy()

    def feed(self, sha: _Hash, start: int, end: int) -> None:
        """Feed kind, null mask and values of the rows ``[start, end)``."""
        _feed(sha, self.series.slice(start, end - start))


def _feed_text(sha: _Hash, text: str) -> None:
    encoded = text.encode()
    sha.update(len(encoded).to_bytes(8, "little") + encoded)


def _feed_kind(sha: _Hash, kind: str, null: np.ndarray[Any, Any]) -> None:
    _feed_text(sha, kind)
    nulls = bool(null.any())
    sha.update(b"\1" if nulls else b"\0")
    if nulls:
        sha.update(np.packbits(null).tobytes())


def _feed(sha: _Hash, series: pl.Series) -> None:
    """Feed kind, null mask and values of a column of any dtype."""
    kind = series.dtype.base_type()
    if kind not in (pl.List, pl.Struct):
        _Flat(series).feed(sha, 0, len(series))
        return
    _feed_kind(sha, kind.__name__, series.is_null().to_numpy())
    if kind is pl.List:
        lengths = series.list.len().fill_null(0)
        sha.update(lengths.cast(pl.Int64).to_numpy().astype("<i8").tobytes())
        _feed(sha, series.filter(lengths > 0).explode())
    else:
        for name in sorted(series.struct.fields):
            _feed_text(sha, name)
            _feed(sha, series.struct.field(name))


def _fixed_width(series: pl.Series) -> np.ndarray[Any, Any]:
    physical = series.cast(pl.UInt8) if series.dtype == pl.Boolean else series.to_physical()
    values: np.ndarray[Any, Any] = physical.fill_null(0).to_numpy()
    return values.astype(values.dtype.newbyteorder("<"), copy=False)


NO_ROWS = digest(pl.DataFrame())
