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
    sha = hashlib.sha256(b"nofx rows 1 %d" % frame.height)
    for name in sorted(frame.columns):
        series = frame.get_column(name)
        if series.null_count() < frame.height:
            _feed_text(sha, name)
            _feed(sha, series)
    return sha.hexdigest()


def session_digests(
    frame: pl.DataFrame, session_column: str, key: Sequence[str]
) -> dict[date, tuple[str, int]]:
    """Content hash and row count of each session in ``frame``."""
    others = [column for column in key if column != session_column]
    ordered = canonical(frame, [session_column, *others])
    counts = ordered.group_by(session_column).len().sort(session_column)
    result: dict[date, tuple[str, int]] = {}
    offset = 0
    for session, rows in counts.iter_rows():
        result[session] = (digest(ordered.slice(offset, rows)), rows)
        offset += rows
    return result


def combined(digests: Iterable[str]) -> str:
    """One hash for several parts of the same session, whatever their order.

    >>> combined(["aa"]), combined(["aa", "bb"]) == combined(["bb", "aa"])
    ('aa', True)
    """
    parts = sorted(digests)
    return parts[0] if len(parts) == 1 else hashlib.sha256("\n".join(parts).encode()).hexdigest()


NO_ROWS = digest(pl.DataFrame())


def _feed_text(sha: _Hash, text: str) -> None:
    encoded = text.encode()
    sha.update(len(encoded).to_bytes(8, "little") + encoded)


def _feed(sha: _Hash, series: pl.Series) -> None:
    """Feed kind, null mask and values of one column."""
    kind = series.dtype.base_type()
    _feed_text(sha, kind.__name__)
    nulls = series.null_count() > 0
    sha.update(b"\1" if nulls else b"\0")
    if nulls:
        sha.update(np.packbits(series.is_null().to_numpy()).tobytes())
    if kind is pl.List:
        _feed_list(sha, series)
    elif kind is pl.Struct:
        for name in sorted(series.struct.fields):
            _feed_text(sha, name)
            _feed(sha, series.struct.field(name))
    elif kind in (pl.String, pl.Binary):
        _feed_bytes(sha, series.cast(pl.Binary))
    else:
        sha.update(_fixed_width(series))


def _feed_list(sha: _Hash, series: pl.Series) -> None:
    lengths = series.list.len().fill_null(0)
    sha.update(lengths.cast(pl.Int64).to_numpy().astype("<i8").tobytes())
    _feed(sha, series.filter(lengths > 0).explode())


def _feed_bytes(sha: _Hash, series: pl.Series) -> None:
    sizes = series.bin.size().fill_null(0).cast(pl.Int64)
    sha.update(sizes.to_numpy().astype("<i8").tobytes())
    sha.update(b"".join(series.drop_nulls().to_list()))


def _fixed_width(series: pl.Series) -> bytes:
    physical = series.cast(pl.UInt8) if series.dtype == pl.Boolean else series.to_physical()
    values: np.ndarray[Any, Any] = physical.fill_null(0).to_numpy()
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
