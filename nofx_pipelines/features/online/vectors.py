"""Vectors to and from slots, compiled: filled in one call, counted in another, so that no write is seen
early.

``words`` uint64 [N, 2, F + 3] and ``writes`` uint64 [N] are a store's (`layout`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.features.online.layout import (
    CHECK,
    COUNTERS,
    EVENT,
    HITS,
    MISSES,
    USES,
    VALUES,
    WRITTEN,
)
from nofx_pipelines.kernel_cache import cached

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

_compiled = cached(Path(__file__).parent, nogil=True)


@_compiled
def fill(
    words: U64, writes: U64, rows: I64, times: I64, matrix: U64, now: int, newer: NDArray[np.bool_]
) -> int:
    """Write each vector that is as new as the one there into the slot not in use; marks them in ``newer``.

    ``rows`` int64 [E] are distinct, ``times`` int64 [E], ``matrix`` the bits of float64 [E, F].
    """
    features, put = matrix.shape[1], 0
    for e in range(len(rows)):
        row = rows[e]
        use = np.int64(writes[row] & np.uint64(1))
        newer[e] = writes[row] == 0 or times[e] >= np.int64(words[row, use, EVENT])
        if not newer[e]:
            continue
        slot = words[row, 1 - use]
        slot[EVENT], slot[WRITTEN] = np.uint64(times[e]), np.uint64(now)
        check = slot[EVENT] ^ slot[WRITTEN]
        for k in range(features):
            value = matrix[e, k]
            slot[VALUES + k] = value
            check ^= value
        slot[CHECK] = check
        put += 1
    return put


@_compiled
def count(writes: U64, rows: I64, newer: NDArray[np.bool_]) -> None:
    """Turn to the slots that were filled."""
    for e in range(len(rows)):
        if newer[e]:
            writes[rows[e]] += np.uint64(1)


@_compiled
def read(words: U64, writes: U64, rows: I64, out: U64) -> bool:
    """Copy the slots in use to ``out`` uint64 [E, F + 3], zeros for rows below 0; whether all were whole."""
    width, whole = words.shape[2], True
    for e in range(len(rows)):
        row = rows[e]
        if row < 0 or writes[row] == 0:
            out[e, :] = np.uint64(0)
            continue
        before = writes[row]
        slot = words[row, np.int64(before & np.uint64(1))]
        check = np.uint64(0)
        for k in range(width):
            out[e, k] = slot[k]
            check ^= slot[k]
        whole = whole and check == 0 and writes[row] == before
    return whole


@_compiled
def touch(uses: U64, writes: U64, rows: I64, known: NDArray[np.bool_], counted: bool) -> int:
    """One more use of each of ``rows`` (below 0: unknown) in turn; hits and misses where ``counted``.

    Marks in ``known`` whether there is a vector (a killed writer may leave a name alone); how many there are.
    Processes that count at the same moment may lose a count of each other's; the order of uses stays.
    """
    now, hits = uses[USES], 0
    for e in range(len(rows)):
        known[e] = rows[e] >= 0 and writes[rows[e]] > 0
        if known[e]:
            now += np.uint64(1)
            uses[COUNTERS + rows[e]] = now
            hits += 1
    uses[USES] = now
    if counted:
        uses[HITS] += np.uint64(hits)
        uses[MISSES] += np.uint64(len(rows) - hits)
    return hits
