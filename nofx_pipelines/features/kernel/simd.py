"""Eight float64 side by side, one a lane: what the processor adds, divides or compares at once.

In a compiled kernel they are a vector of LLVM's; with compiling off the same source runs on NumPy arrays of
eight. Each operation is that of one float64, eight times: no bit depends on how many go together.
"""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from nofx_pipelines.features.kernel.cache import named

WIDTH = 8
_VECTOR = ir.VectorType(ir.DoubleType(), WIDTH)
_MASK = ir.VectorType(ir.IntType(1), WIDTH)
_INTS = ir.VectorType(ir.IntType(32), WIDTH)


class _Eight(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Eight")


class _Mask(types.Type):
    def __init__(self) -> None:
        super().__init__(name="EightMask")


eight, mask = _Eight(), _Mask()


@register_model(_Eight)
class _EightModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, kind: Any) -> None:
        super().__init__(dmm, kind, _VECTOR)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, kind: Any) -> None:
        super().__init__(dmm, kind, _MASK)


def _wide(context: Any, builder: Any, value: Any, kind: Any) -> Any:
    """A number in all eight places; eight numbers as they are."""
    if kind is eight:
        return value
    number = context.cast(builder, value, kind, types.float64)
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(_INTS, [0] * WIDTH))


def _either(a: Any, b: Any) -> bool:
    kinds = (types.Float, types.Integer, _Eight)
    return isinstance(a, kinds) and isinstance(b, kinds) and (a is eight or b is eight)


def _of_two(call: Any, result: Any, emit: Callable[[Any, Any, Any], Any]) -> None:
    """``call(a, b)`` of eights, or of eights and a number."""

    @intrinsic
    def made(_context: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            x, y = (_wide(context, builder, v, k) for v, k in zip(args, signature.args, strict=True))
            return emit(builder, x, y)

        return result(a, b), codegen

    def run(a: Any, b: Any) -> Any:
        return made(a, b)

    @overload(call, jit_options={"forceinline": True})
    def typed(a: Any, b: Any) -> Any:
        return named(run, f"eight_{call.__name__}") if _either(a, b) else None


for _add, _sub in ((operator.add, operator.sub), (operator.iadd, operator.isub)):
    _of_two(_add, eight, lambda builder, x, y: builder.fadd(x, y))
    _of_two(_sub, eight, lambda builder, x, y: builder.fsub(x, y))
_of_two(operator.mul, eight, lambda builder, x, y: builder.fmul(x, y))
_of_two(operator.truediv, eight, lambda builder, x, y: builder.fdiv(x, y))
_of_two(operator.lt, mask, lambda builder, x, y: builder.fcmp_ordered("<", x, y))
_of_two(operator.le, mask, lambda builder, x, y: builder.fcmp_ordered("<=", x, y))
_of_two(operator.gt, mask, lambda builder, x, y: builder.fcmp_ordered(">", x, y))
_of_two(operator.ge, mask, lambda builder, x, y: builder.fcmp_ordered(">=", x, y))
_of_two(operator.eq, mask, lambda builder, x, y: builder.fcmp_ordered("==", x, y))
_of_two(operator.ne, mask, lambda builder, x, y: builder.fcmp_unordered("!=", x, y))


@intrinsic
def _opposite(_context: Any, a: Any) -> Any:
    return eight(eight), lambda _c, builder, _s, args: builder.fneg(args[0])


@overload(operator.neg, jit_options={"forceinline": True})
def _negated(a: Any) -> Any:
    def run(a: Any) -> Any:
        return _opposite(a)

    return run if a is eight else None


def _of_masks(call: Any, name: str) -> None:
    @intrinsic
    def made(_context: Any, a: Any, b: Any) -> Any:
        return mask(mask, mask), lambda _c, builder, _s, args: getattr(builder, name)(*args)

    def run(a: Any, b: Any) -> Any:
        return made(a, b)

    @overload(call, jit_options={"forceinline": True})
    def typed(a: Any, b: Any) -> Any:
        return named(run, f"mask_{call.__name__}") if a is mask and b is mask else None


_of_masks(operator.and_, "and_")
_of_masks(operator.or_, "or_")


def _unary(name: str) -> Any:
    @intrinsic
    def made(_context: Any, a: Any) -> Any:
        def codegen(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
            kind = ir.FunctionType(_VECTOR, [_VECTOR])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)

        return eight(eight), codegen

    return made


roots = _unary("llvm.sqrt.v8f64")
"""Square roots."""
sizes = _unary("llvm.fabs.v8f64")
"""Absolute values."""


@intrinsic
def all_eight(_context: Any, value: Any) -> Any:
    """A number in all eight places."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _wide(context, builder, args[0], signature.args[0])

    return eight(value), codegen


@intrinsic
def pick(_context: Any, which: Any, a: Any, b: Any) -> Any:
    """``a`` where the mask holds, else ``b``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, y = (_wide(context, builder, v, k) for v, k in zip(args[1:], signature.args[1:], strict=True))
        return builder.select(args[0], x, y)

    return eight(mask, a, b), codegen


@intrinsic
def every(_context: Any, which: Any) -> Any:
    """Whether a mask holds in all eight places."""

    def codegen(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], ir.IntType(WIDTH))
        return builder.icmp_unsigned("==", bits, ir.Constant(ir.IntType(WIDTH), 2**WIDTH - 1))

    return types.boolean(mask), codegen


def _shuffled(builder: Any, a: Any, b: Any, places: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(_INTS, places))


@intrinsic
def turned(_context: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """Eight eights with rows and columns exchanged: the first of each, the second of each, ..."""
    kind = types.UniTuple(eight, WIDTH)

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        rows = list(args)
        for apart in (4, 2, 1):  # blocks of 4 x 4 change places, then of 2 x 2, then single numbers
            low = [k + (WIDTH if k & apart else 0) - (apart if k & apart else 0) for k in range(WIDTH)]
            high = [k + (WIDTH if k & apart else 0) + (0 if k & apart else apart) for k in range(WIDTH)]
            for k in range(WIDTH):
                if not k & apart:
                    one, other = rows[k], rows[k + apart]
                    rows[k] = _shuffled(builder, one, other, low)
                    rows[k + apart] = _shuffled(builder, one, other, high)
        return context.make_tuple(builder, kind, rows)

    return kind(*[eight] * WIDTH), codegen


@intrinsic
def bits(_context: Any, which: Any) -> Any:
    """A mask as the bits of a number, the first place the lowest."""

    def codegen(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(WIDTH)), ir.IntType(64))

    return types.int64(mask), codegen


@intrinsic
def get_eight(_context: Any, address: Any, index: Any) -> Any:
    """The eight float64 from ``index`` on."""

    def codegen(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        place = builder.gep(builder.inttoptr(args[0], ir.DoubleType().as_pointer()), [args[1]])
        return builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=8)

    return eight(types.intp, types.intp), codegen


@intrinsic
def put_eight(_context: Any, address: Any, index: Any, value: Any) -> Any:
    """Write eight float64 from ``index`` on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.gep(builder.inttoptr(args[0], ir.DoubleType().as_pointer()), [args[1]])
        wide = _wide(context, builder, args[2], signature.args[2])
        builder.store(wide, builder.bitcast(place, _VECTOR.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, value), codegen


if config.DISABLE_JIT:

    def _at(address: int, index: int) -> Any:
        return np.ctypeslib.as_array((ctypes.c_double * WIDTH).from_address(int(address + 8 * index)))

    def get_eight(address: int, index: int) -> Any:
        """The eight float64 from ``index`` on."""
        return _at(address, index).copy()

    def put_eight(address: int, index: int, value: Any) -> None:
        """Write eight float64 from ``index`` on."""
        _at(address, index)[:] = value

    def all_eight(value: Any) -> Any:
        """A number in all eight places."""
        return np.full(WIDTH, float(value))

    def turned(*rows: Any) -> Any:
        """Eight eights with rows and columns exchanged: the first of each, the second of each, ..."""
        return tuple(np.array(rows).T.copy())

    def pick(which: Any, a: Any, b: Any) -> Any:
        """``a`` where the mask holds, else ``b``."""
        return np.where(which, a, b)

    def bits(which: Any) -> int:
        """A mask as the bits of a number, the first place the lowest."""
        return int(np.packbits(which, bitorder="little")[0])

    def every(which: Any) -> bool:
        """Whether a mask holds in all eight places."""
        return bool(np.all(which))

    roots, sizes = np.sqrt, np.abs
