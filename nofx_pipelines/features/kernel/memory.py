"""Numbers of state by their address: to pass an array into an inlined function counts a reference each time.

Addresses come from ``array.ctypes.data`` of arrays that the caller keeps, indices from `steps`; nothing is
checked here.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Tables = tuple[int, int, int, int, int, int, int, int]
"""Addresses of a pass' ``table``, ``numbers``, ``pool``, ``levels`` and ``registers``, how many bytes a
register takes, the address of the first row in the panel, how many bytes a panel row takes; where that is 0
(one row of one instrument at a time) places are addresses, from the number of bytes in the registers' place
on."""
UNWANTED = -1
"""The place of an output that nobody reads."""


def aligned(*shape: int, fill: float = 0.0) -> NDArray[np.float64]:
    """An array that begins at a line of the cache: eight numbers then lie in one line, not in two."""
    size, line = math.prod(shape), 64
    room = np.empty(size + line // 8)
    begin = -room.ctypes.data % line // 8
    array = room[begin : begin + size].reshape(shape)
    array[...] = fill
    return array


def in_panel(row: int) -> int:
    """The place of an operand that is a row of the panel; registers are 0 and more."""
    return -2 - row


def _pointer(builder: Any, kind: Any, address: Any, index: Any) -> Any:
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [index])


@intrinsic
def get(context: Any, address: Any, index: Any) -> Any:
    """The float64 at ``index``."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, ir.DoubleType(), *args))

    return types.float64(types.intp, types.intp), codegen


@intrinsic
def get_int(context: Any, address: Any, index: Any) -> Any:
    """The int64 at ``index``."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, ir.IntType(64), *args))

    return types.int64(types.intp, types.intp), codegen


@intrinsic
def put(context: Any, address: Any, index: Any, value: Any) -> Any:
    """Write a float64 at ``index``."""

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(builder, ir.DoubleType(), args[0], args[1]))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.float64), codegen


@intrinsic
def put_int(context: Any, address: Any, index: Any, value: Any) -> Any:
    """Write an int64 at ``index``."""

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(builder, ir.IntType(64), args[0], args[1]))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.int64), codegen


@intrinsic
def call(context: Any, address: Any, first: Any, last: Any, z: Any, g: Any, m: Any, w: Any) -> Any:
    """Call the operator at an address, see `entries.entry`."""

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 6)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), codegen


if config.DISABLE_JIT:  # the same in plain Python, to step through a kernel or to break it on purpose
    np.seterr(all="ignore")

    def get(address: int, index: int) -> float:
        """The float64 at ``index``."""
        return np.float64(ctypes.c_double.from_address(int(address + 8 * index)).value)

    def get_int(address: int, index: int) -> int:
        """The int64 at ``index``."""
        return ctypes.c_int64.from_address(int(address + 8 * index)).value

    def put(address: int, index: int, value: float) -> None:
        """Write a float64 at ``index``."""
        ctypes.c_double.from_address(int(address + 8 * index)).value = value

    def put_int(address: int, index: int, value: int) -> None:
        """Write an int64 at ``index``."""
        ctypes.c_int64.from_address(int(address + 8 * index)).value = value

    def call(address: int, first: int, last: int, z: int, g: int, m: int, w: int) -> None:
        """Call the operator at an address, which is its place in ``PLAIN`` here."""
        PLAIN[address](first, last, z, g, m, w)


PLAIN: list[Any] = []
"""Operators by their address where nothing is compiled."""


@njit(forceinline=True, nogil=True, error_model="numpy")
def at_row(z: Tables, place: int) -> int:
    """The address of an operand's first row."""
    if z[7] == 0:
        return z[4] + place
    return z[4] + place * z[5] if place >= 0 else z[6] + (-2 - place) * z[7]
