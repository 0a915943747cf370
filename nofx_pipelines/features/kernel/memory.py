"""Numbers of state by their address: to pass an array into an inlined function counts a reference each time.

Addresses come from ``array.ctypes.data`` of arrays that the caller keeps, indices from `steps`; nothing is
checked here.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
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
