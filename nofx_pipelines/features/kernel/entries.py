"""Operators compiled each by itself, for `blocks.step` to call by their addresses."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np
from numba import cfunc, config, njit
from numpy.typing import NDArray

from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel.blocks import STATEFUL
from nofx_pipelines.features.kernel.cache import cached, named, one_process
from nofx_pipelines.features.kernel.codes import FIELDS, OPS, numbers_of, segments_of, side_by_side
from nofx_pipelines.features.kernel.eights import WIDTH
from nofx_pipelines.features.kernel.elementwise import ELEMENTWISE
from nofx_pipelines.features.kernel.memory import PLAIN, fetch, get, get_int

I64 = NDArray[np.int64]
Compiled = Callable[..., Any]
_ENTRY = "void(int64, int64, int64, int64, int64, int64)"


@njit(**row.COMPILE)
def _fetch_ahead(t: int, m: int, w: int, header: int, arrays: int) -> None:
    """Ask for an instruction's state: its first numbers, and of its arrays the places at the position."""
    n, own = get_int(t, 5), m + get_int(t, 6) * w * 8
    at = int(get(own, 0))
    for k in range(header * w // WIDTH):
        fetch(own + k * 64)
    for a in range(arrays):
        place = own + (header + a * n + at) * w * 8
        for k in range(2 * w // WIDTH):
            fetch(place + k * 64)


_STATE = {
    "_refs": (1, 1), "_aggregate_0": (2, 1), "_aggregate_1": (2, 1), "_aggregate_2": (2, 1),
    "_aggregate_3": (2, 1), "_extreme_True": (3, 2), "_extreme_False": (3, 2), "_var": (6, 2),
    "_trend": (10, 3), "_pair": (11, 5), "_counts": (2, 0), "_order": (3, 3),
}  # fmt: skip
"""Of operators that take eights: numbers before their arrays, and how many arrays."""


def _over_rows(first: int, last: int, z: int, g: int, m: int, w: int) -> None:
    alone(first, last, numbers_of(z), get_int(g, 0))  # type: ignore[name-defined]  # noqa: F821


def _alone(first: int, last: int, z: int, g: int, m: int, w: int) -> None:
    tables, segments = numbers_of(z), segments_of(g)
    for i in range(first, last):
        alone(i, tables, segments, 0, segments[3], m, None)  # type: ignore[name-defined]  # noqa: F821


def _in_lanes(first: int, last: int, z: int, g: int, m: int, w: int) -> None:
    tables, segments = numbers_of(z), segments_of(g)
    for i in range(first, last):
        alone(i, tables, segments, 0, segments[3], m, w)  # type: ignore[name-defined]  # noqa: F821


def _in_eights(first: int, last: int, z: int, g: int, m: int, w: int) -> None:
    tables, segments = numbers_of(z), segments_of(g)
    for i in range(first, last):
        if segments[4] == 1 and i + 1 < last:
            _fetch_ahead(tables[0] + (i + 1) * FIELDS * 8, m, w, header, arrays)  # type: ignore[name-defined]  # noqa: F821
        s = 0
        while s < segments[3]:
            end, done = min(s + WIDTH, segments[3]), False
            if segments[4] > 0 and side_by_side(segments, s):
                done = eight(i, tables, segments, s, m, w)  # type: ignore[name-defined]  # noqa: F821
            if not done:
                alone(i, tables, segments, s, end, m, w)  # type: ignore[name-defined]  # noqa: F821
            s = end


@lru_cache(maxsize=2 * len(OPS))
def _made(template: Any, alone: Compiled, eight: Compiled | None) -> Any:
    header, arrays = (0, 0) if eight is None else _STATE[alone.__name__]
    own = {**globals(), "alone": alone, "eight": eight, "header": header, "arrays": arrays}
    made = named(FunctionType(template.__code__, own), f"entry{alone.__name__}{template.__name__}")
    if config.DISABLE_JIT:
        PLAIN.append(made)
        return SimpleNamespace(address=len(PLAIN) - 1)
    with one_process():
        return cached(partial(cfunc, _ENTRY), **row.COMPILE)(made)


def entry(code: int, lanes: bool) -> int:
    """The address of an operator, compiled by itself or read from the cache, for `call`.

    ``(first, last, z, g, m, w)``, all int64: the instructions; the addresses of `Tables` and `Segments` and
    of the state; how far apart the numbers of a lane lie (1 unless ``lanes``). A program compiles the
    operators that it has; one function that held them all took minutes.
    """
    if code in ELEMENTWISE:
        return int(_made(_over_rows, ELEMENTWISE[code], None).address)
    alone, eight = STATEFUL[code]
    template = _alone if not lanes else _in_lanes if eight is None else _in_eights
    return int(_made(template, alone, eight if template is _in_eights else None).address)


def entries_of(runs: I64, lanes: bool) -> I64:
    """The addresses of the operators of ``runs``, at their codes."""
    found = np.zeros(len(OPS), np.int64)
    for code in {int(code) for code in runs[:, 0]} & (ELEMENTWISE.keys() | STATEFUL.keys()):
        found[code] = entry(code, lanes)
    return found
