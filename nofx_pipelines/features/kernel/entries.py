"""Operators compiled each by itself, for `blocks.step` to call by their addresses."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from types import FunctionType
from typing import Any, Literal

import numpy as np
from numba import config
from numpy.typing import NDArray

from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel.blocks import STATEFUL
from nofx_pipelines.features.kernel.cache import cached_callback, named, one_process
from nofx_pipelines.features.kernel.codes import OPS, numbers_of, numbers_of_one, segments_of, side_by_side
from nofx_pipelines.features.kernel.elementwise import ELEMENTWISE
from nofx_pipelines.features.kernel.memory import PLAIN, get_int
from nofx_pipelines.features.kernel.simd import WIDTH

I64 = NDArray[np.int64]
Compiled = Callable[..., Any]
Over = Literal["row", "rows", "lanes"]
"""What an operator is compiled for: one row of one instrument, rows of one, rows of lanes side by side."""
UNMADE = -1
_ENTRY = "void(int64, int64, int64, int64, int64, int64)"


def _over_rows(first: int, last: int, z: int, g: int, m: int, w: int) -> None:
    alone(first, last, numbers_of(z), get_int(g, 0))  # type: ignore[name-defined]  # noqa: F821


def _over_one(first: int, last: int, z: int, g: int, m: int, w: int) -> None:
    if get_int(g, 0) > 0:
        alone(first, last, numbers_of_one(z))  # type: ignore[name-defined]  # noqa: F821


def _one(first: int, last: int, z: int, g: int, m: int, w: int) -> None:
    if get_int(g, 0) > 0:  # no row where a condition does not hold
        tables, segments = numbers_of_one(z), (1, get_int(g, 1), get_int(g, 2), 1, 1, get_int(g, 5))
        for i in range(first, last):
            alone(i, tables, segments, 0, 1, m, None)  # type: ignore[name-defined]  # noqa: F821


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
        s = 0
        while s < segments[3]:
            end, done = min(s + WIDTH, segments[3]), False
            if segments[4] > 0 and side_by_side(segments, s):
                done = eight(i, tables, segments, s, m, w)  # type: ignore[name-defined]  # noqa: F821
            if not done:
                alone(i, tables, segments, s, end, m, w)  # type: ignore[name-defined]  # noqa: F821
            s = end


_MADE: dict[str, int] = {}
"""Addresses of what this process has compiled or read; the code stays where it is."""
_KEPT: list[Any] = []
_ONE_THREAD = Lock()


def _made(template: Any, alone: Compiled, eight: Compiled | None, wait: bool) -> int:
    """The address, UNMADE where it is not ours to compile now."""
    name = f"entry{alone.__name__}{template.__name__}"
    if name not in _MADE:
        made = named(FunctionType(template.__code__, {**globals(), "alone": alone, "eight": eight}), name)
        if config.DISABLE_JIT:
            PLAIN.append(made)
            _MADE[name] = len(PLAIN) - 1
            return _MADE[name]
        with one_process(name, wait=wait) as ours:
            if not ours:
                return UNMADE
            _KEPT.append(cached_callback(made, _ENTRY, **row.COMPILE))
            _MADE[name] = _KEPT[-1].address
    return _MADE[name]


def entry(code: int, over: Over, *, wait: bool = True) -> int:
    """The address of an operator, compiled by itself or read from the cache, for `call`.

    ``(first, last, z, g, m, w)``, all int64: the instructions; the addresses of `Tables` and `Segments` and
    of the state; how far apart the numbers of a lane lie (1 unless over lanes). A program compiles the
    operators that it has; one function that held them all took minutes. Unless it is to ``wait``, UNMADE
    while another process compiles it.
    """
    if code in ELEMENTWISE:
        rows, one = ELEMENTWISE[code]
        return _made(_over_one, one, None, wait) if over == "row" else _made(_over_rows, rows, None, wait)
    alone, eight = STATEFUL[code]
    if over != "lanes":
        return _made(_one if over == "row" else _alone, alone, None, wait)
    return _made(_in_lanes if eight is None else _in_eights, alone, eight, wait)


def entries_of(runs: I64, over: Over) -> I64:
    """The addresses of the operators of ``runs``, at their codes.

    What another process is compiling comes last: several that start together share the work.
    """
    found = np.zeros(len(OPS), np.int64)
    codes = sorted({int(code) for code in runs[:, 0]} & (ELEMENTWISE.keys() | STATEFUL.keys()))
    with _ONE_THREAD:
        for code in codes:
            found[code] = entry(code, over, wait=False)
        for code in codes:
            if found[code] == UNMADE:
                found[code] = entry(code, over)
    return found
