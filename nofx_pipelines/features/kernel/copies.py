"""Rows copied from place to place, and eight lanes' rows turned into rows of eight: see `blocks`."""

from __future__ import annotations

from numba import njit

from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel.codes import FIELDS, LOAD, TURNS
from nofx_pipelines.features.kernel.memory import Tables, at_row, get, get_int, put
from nofx_pipelines.features.kernel.simd import WIDTH, get_eight, put_eight, turned

_plain = njit(**row.COMPILE)


@_plain
def _copy(target: int, source: int, rows: int) -> None:
    if rows == 1:
        put(target, 0, get(source, 0))
        return
    for r in range(rows):
        put(target, r, get(source, r))


@_plain
def copied(first: int, last: int, z: Tables, rows: int) -> None:
    """Rows of the panel and registers to others."""
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        _copy(at_row(z, get_int(t, 1)), at_row(z, get_int(t, 2)), rows)


@_plain
def turned_over(code: int, first: int, last: int, z: Tables, rows: int, begins: int, line: int) -> None:
    """Between a panel's row, where a lane's rows lie together, and a register, where eight take turns.

    Through the line of scratch, so that a lane's rows are written one after the other: lines of memory that
    are written in turns take several times as long.
    """
    whole = rows - rows % WIDTH
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        panel = z[6] + get_int(t, 2 if code == LOAD else 1) * z[7]
        register = z[4] + get_int(t, 1 if code == LOAD else 2) * z[5]
        if code == LOAD:
            for s in range(WIDTH):
                own = panel + get_int(begins, s) * 8
                for r in range(rows):
                    put(register, r * WIDTH + s, get(own, r))
            continue
        for r in range(0, whole, WIDTH):
            _turn(register + r * WIDTH * 8, line + r * 8)
        for s in range(WIDTH):
            own = panel + get_int(begins, s) * 8
            for r in range(0, whole, WIDTH):
                put_eight(own, r, get_eight(line, s * TURNS + r))
            for r in range(whole, rows):
                put(own, r, get(register, r * WIDTH + s))


@njit(forceinline=True, **row.COMPILE)
def _turn(source: int, target: int) -> None:
    """Eight rows of eight lanes: row r of lane s at s * TURNS + r."""
    t = turned(
        get_eight(source, 0), get_eight(source, 8), get_eight(source, 16), get_eight(source, 24),
        get_eight(source, 32), get_eight(source, 40), get_eight(source, 48), get_eight(source, 56),
    )  # fmt: skip
    put_eight(target, 0, t[0])
    put_eight(target, TURNS, t[1])
    put_eight(target, 2 * TURNS, t[2])
    put_eight(target, 3 * TURNS, t[3])
    put_eight(target, 4 * TURNS, t[4])
    put_eight(target, 5 * TURNS, t[5])
    put_eight(target, 6 * TURNS, t[6])
    put_eight(target, 7 * TURNS, t[7])
