"""Hashes that stay the same across machines, library versions and runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

_NULL = np.uint64(0x9E3779B97F4A7C15)
_GOLDEN, _MIX_1, _MIX_2 = (np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_SHIFTS = tuple(np.uint64(n) for n in (30, 27, 31))

Words = np.ndarray[Any, np.dtype[np.uint64]]


def text_hash(parts: Iterable[str]) -> str:
    """SHA-256 over parts; a part's border counts.

    >>> text_hash(["ab", "c"]) == text_hash(["a", "bc"])
    False
    """
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode()
        sha.update(len(data).to_bytes(8, "big"))
        sha.update(data)
    return sha.hexdigest()


def row_hashes(frame: pl.DataFrame) -> pl.Series:
    """A 64-bit hash of each row over all its columns, as text.

    Two rows hash alike when every cell is equal; -0.0 equals 0.0, null equals null. Enough to tell
    the few revisions of one key apart, not a guard against tampering.
    """
    total: Words = np.zeros(frame.height, dtype=np.uint64)
    for position, column in enumerate(frame.iter_columns()):
        words = _words(column) + np.uint64((position + 1) * int(_GOLDEN) % 2**64)
        total = _mixed(total ^ words)
    return pl.Series("row_hash", total).cast(pl.String)


def row_text(frame: pl.DataFrame) -> str:
    """A hash of a frame's rows, whatever their order.

    >>> frame = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    >>> row_text(frame) == row_text(frame.reverse())
    True
    """
    return text_hash([*frame.columns, *row_hashes(frame).sort()])


def _words(column: pl.Series) -> Words:
    nulls = column.is_null().to_numpy()
    if isinstance(column.dtype, pl.List):
        column = column.list.join("\x1f")
    if column.dtype == pl.String:
        values = _text_words(column)
    elif column.dtype.is_float():
        values = (column.fill_null(0.0).cast(pl.Float64).to_numpy() + 0.0).view(np.uint64)
    else:
        values = column.to_physical().cast(pl.Int64).fill_null(0).to_numpy().view(np.uint64)
    return np.where(nulls, _NULL, values)


def _text_words(column: pl.Series) -> Words:
    known = column.drop_nulls().unique().sort()
    digests = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in known]
    if not digests:
        return np.zeros(len(column), dtype=np.uint64)
    codes = column.replace_strict(known, np.arange(len(digests)), default=0, return_dtype=pl.Int64)
    return np.array(digests, dtype=np.uint64)[codes.to_numpy()]


def _mixed(words: Words) -> Words:
    """The finaliser of splitmix64."""
    words = (words ^ (words >> _SHIFTS[0])) * _MIX_1
    words = (words ^ (words >> _SHIFTS[1])) * _MIX_2
    return words ^ (words >> _SHIFTS[2])
