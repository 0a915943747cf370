"""Rows of a condition close together, as the segments of a block, and back: see `blocks`."""

from __future__ import annotations

from numba import njit

from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel.codes import FIELDS, SEGMENTS, Segments, rows_of
from nofx_pipelines.features.kernel.memory import UNWANTED, Tables, at_row, get, get_int, put, put_int

_plain = njit(**row.COMPILE)
_inlined = njit(forceinline=True, **row.COMPILE)
"""Into the loop over instructions: to call it with so many numbers takes as long as a row."""


@_plain
def sample(first: int, last: int, z: Tables, rows: int) -> None:
    """The rows of a condition, close together."""
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = at_row(z, get_int(t, 1))
        x = at_row(z, get_int(t, 2))
        when = at_row(z, get_int(t, 3))
        k = 0
        for r in range(rows):
            if get(when, r) == 1.0:
                put(out, k, get(x, r))
                k += 1


@_inlined
def hold(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    """What was computed at the rows of a condition, at all rows. State: the last value."""
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    out = at_row(z, get_int(t, 1))
    y = at_row(z, get_int(t, 2))
    when = at_row(z, get_int(t, 3))
    slot, k = get_int(t, 6), 0
    for s in range(begin, end):
        b = slot * w + get_int(lanes, s)
        held = get(m, b)
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            if get(when, r) == 1.0:
                held = get(y, k)
                k += 1
            put(out, r, held)
        put(m, b, held)


@_plain
def turned(first: int, z: Tables, g: int) -> int:
    """The segments of a condition's rows, or all of ``g`` again; they are written to the line's end."""
    place = get_int(z[0] + first * FIELDS * 8, 2)
    if place == UNWANTED:
        return g
    when, segments = at_row(z, place), get_int(g, 3)
    found = get_int(g, 5) - SEGMENTS * 8
    starts = found - (segments + 1) * 8
    lanes = starts - segments * 8
    rows, kept = 0, 0
    for s in range(segments):
        before = rows
        for r in range(get_int(get_int(g, 1), s), get_int(get_int(g, 1), s + 1)):
            rows += get(when, r) == 1.0
        if rows > before:
            put_int(starts, kept, before)
            put_int(lanes, kept, get_int(get_int(g, 2), s))
            kept += 1
    put_int(starts, kept, rows)
    put_int(found, 0, rows)
    put_int(found, 1, starts)
    put_int(found, 2, lanes)
    put_int(found, 3, kept)
    put_int(found, 4, 1 if get_int(g, 4) == 1 else 0)
    put_int(found, 5, get_int(g, 5))
    return found
