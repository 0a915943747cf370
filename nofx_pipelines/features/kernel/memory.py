"""Numbers of state by their address: to pass an array into an inlined function counts a reference each time.

Addresses come from ``array.ctypes.data`` of arrays that the caller keeps, indices from `steps`; nothing is
checked here.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic


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
