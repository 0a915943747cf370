"""A program's kernel as source text: every step written out for one row of one instrument.

The same row functions as `blocks` calls, with windows, places and constants as numbers in the text; so its
outputs are the table-driven kernel's, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nofx_pipelines.features.kernel.instruction_tables import Fixed
from nofx_pipelines.features.program.steps import Step

_HEAD = '''"""Written by nofx_pipelines for the program {version}; what is changed here is written over."""

import math

import numpy as np

from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel import single as one
from nofx_pipelines.features.kernel.cache import cached
from nofx_pipelines.features.kernel.memory import get, put
from nofx_pipelines.features.kernel.tiles import keep_row, last_ts_of, memory_of


@cached(beside=__file__, **row.COMPILE)
def push(frame, i, ts, bar, out, bars_per_year):
    f = frame.ctypes.data
    if ts <= last_ts_of(f, i):
        return False
    m, x, y = memory_of(f, i), bar.ctypes.data, out.ctypes.data
'''

_ELEMENTWISE = {
    "add": "row.finite({0} + {1})",
    "sub": "row.finite({0} - {1})",
    "mul": "row.finite({0} * {1})",
    "div": "row.finite({0} / {1})",
    "neg": "-{0}",
    "abs": "abs({0})",
    "sqrt": "row.safe_sqrt({0})",
    "minimum": "row.smaller({0}, {1})",
    "maximum": "row.larger({0}, {1})",
    "lt": "row.less({0}, {1})",
    "le": "row.at_most({0}, {1})",
    "eq": "row.equal({0}, {1})",
    "and": "row.both({0}, {1})",
    "or": "row.either({0}, {1})",
    "where": "row.choose({0}, {1}, {2})",
    "is_null": "row.missing({0})",
    "fill_null": "row.filled({0}, {1})",
    "not": "1.0 - {0}",
    "known": "row.known({0}, {1})",
    "sign": "row.sign({0})",
    "log": "row.safe_log({0})",
    "exp": "row.finite(np.exp({0}))",
    "atan": "math.atan({0})",
    "floor": "np.floor({0})",
    "sample": "{0}",
    "pow": "row.power({0}, {1})",
}


def source_of(
    version: str,
    steps: Sequence[Step],
    columns: Sequence[int],
    outputs: Sequence[int],
    fixed: Mapping[int, Fixed],
) -> str:
    """The module's text. ``columns`` and ``outputs`` are the registers of the bar's and the output's
    numbers."""
    clock = -1
    lines = [f"v{register} = row.finite(get(x, {k}))" for k, register in enumerate(columns)]
    for register, value in fixed.items():
        lines.append(f"v{register} = {'bars_per_year' if isinstance(value, str) else repr(value)}")
    for step in steps:
        if step.clock < 0:
            lines += _written(step)
        elif step.clock == clock:
            lines += [f"    {line}" for line in _written(step)]
        else:
            lines += [f"if v{step.clock} == 1.0:", *(f"    {line}" for line in _written(step))]
        clock = step.clock
    lines += [f"put(y, {k}, v{register})" for k, register in enumerate(outputs)]
    lines += ["keep_row(f, i, ts, x, y)", "return True"]
    return _HEAD.format(version=version) + "".join(f"    {line}\n" for line in lines)


def _written(step: Step) -> list[str]:
    args = [f"v{a}" for a in step.args]
    if step.op in _ELEMENTWISE:
        return [f"v{step.dst} = {_ELEMENTWISE[step.op].format(*args)}"]
    return _STATEFUL[step.op](step, args)


def _own(step: Step) -> str:
    """The address of the step's state."""
    return f"m + {8 * step.slot}"


def _recursive(step: Step, names: Sequence[str], call: str) -> list[str]:
    """``dst, names = call`` between reading and writing the step's numbers."""
    read = [f"{name} = get(m, {step.slot + k})" for k, name in enumerate(names)]
    write = [f"put(m, {step.slot + k}, {name})" for k, name in enumerate(names)]
    return [*read, f"{', '.join([f'v{step.dst}', *names])} = {call}", *write]


def _window(name: str, *more: str) -> Callable[[Step, list[str]], list[str]]:
    """A step of one output over the window of one series; ``more`` are numbers of the step."""

    def write(step: Step, args: list[str]) -> list[str]:
        numbers = "".join(f", {getattr(step, field)!r}" for field in ("n", "least", *more))
        return [f"v{step.dst} = one.{name}({_own(step)}, {args[0]}, {args[1]}{numbers})"]

    return write


def _made(step: Step) -> str:
    return ", ".join(f"v{register}" if register >= 0 else "unused" for register, _ in step.outs)


def _extreme(step: Step, args: list[str]) -> list[str]:
    flags = f"{step.op == 'highest'}, {step.number in (1.0, 3.0)}, {step.number >= 2.0}"
    return [
        f"{_made(step)} = one.place({_own(step)}, {flags}, {args[0]}, {args[1]}, {step.n}, {step.least!r})"
    ]


def _shape(step: Step, args: list[str]) -> list[str]:
    return [f"{_made(step)} = one.shape({_own(step)}, {args[0]}, {args[1]}, {step.n}, {step.least!r})"]


def _trend(step: Step, args: list[str]) -> list[str]:
    x, c = args
    enough = f"{c} >= {step.least!r}"
    values = (
        f"row.slope({enough}, span, along)",
        f"row.fit({enough}, spread, span, along)",
        f"row.residual({enough}, {x}, span, along, mean, middle)",
        f"row.weighted({enough}, {c}, {step.n}, along, mean, middle)",
    )
    lines = [f"spread, span, along, mean, middle = one.trend({_own(step)}, {x}, {c}, {step.n})"]
    return lines + [f"v{r} = {value}" for (r, _), value in zip(step.outs, values, strict=True) if r >= 0]


def _pair(step: Step, args: list[str]) -> list[str]:
    x, y, c = args
    enough = f"{c} >= {step.least!r}"
    values = (
        f"row.covariance({c}, {step.least!r}, {step.number!r}, vxy)",
        f"row.correlation({enough}, vx, vy, vxy)",
        f"row.slope({enough}, vx, vxy)",
        f"row.beta_residual({enough}, {x}, {y}, vx, vxy, mx, my)",
    )
    lines = [f"vx, vy, vxy, mx, my = one.pair({_own(step)}, {x}, {y}, {c}, {step.n})"]
    return lines + [f"v{r} = {value}" for (r, _), value in zip(step.outs, values, strict=True) if r >= 0]


def _refs(step: Step, args: list[str]) -> list[str]:
    lines = [f"at = int(get(m, {step.slot}))"]
    for register, lag in step.outs:
        place = "at" if lag == step.n else f"at - {lag} if at >= {lag} else at + {step.n - lag}"
        lines.append(f"v{register} = get(m, {step.slot + 1} + ({place}))")
    return [
        *lines,
        f"put(m, {step.slot + 1} + at, {args[0]})",
        f"put(m, {step.slot}, row.moved(at, 1, {step.n}))",
    ]


def _counts(step: Step, args: list[str]) -> list[str]:
    n, kinds = step.n, len(step.outs)
    lines = [f"if one.counted({_own(step)}, {args[0]}, {n}):"]
    lines += [f"    v{register} = {float(length)}" for register, length in step.outs]
    lines.append("else:")
    for k, (register, length) in enumerate(step.outs):
        lines.append(f"    v{register} = one.count({_own(step)}, {k}, {args[0]}, {length}, {n}, {kinds})")
    return [*lines, f"    one.moved({_own(step)}, {args[0]}, {n}, {kinds})"]


def _order(step: Step, args: list[str]) -> list[str]:
    lines = [f"size, here = one.order({_own(step)}, {args[0]}, {step.n})"]
    for (register, _), (level, least) in zip(step.outs, step.levels, strict=True):
        if level < 0.0:
            lines.append(f"v{register} = row.percent_rank({args[0]}, {step.n}, size, {least!r}, here, 1)")
        else:
            lines.append(f"v{register} = row.quantile({level!r}, size, {least!r}, here, 1)")
    return lines


def _ewm(step: Step, args: list[str]) -> list[str]:
    call = f"row.ewm({args[0]}, {float(step.n)}, {step.least!r}, {step.number!r}, seen, average)"
    return _recursive(step, ["seen", "average"], call)


def _decayed(step: Step, args: list[str]) -> list[str]:
    call = f"row.decayed({args[0]}, {step.least!r}, {step.number!r}, seen, top, bottom)"
    return _recursive(step, ["seen", "top", "bottom"], call)


def _recur(step: Step, args: list[str]) -> list[str]:
    return _recursive(step, ["begun", "last"], f"row.recur({', '.join(args)}, begun, last)")


def _running(code: int) -> Callable[[Step, list[str]], list[str]]:
    def write(step: Step, args: list[str]) -> list[str]:
        return _recursive(step, ["begun", "last"], f"row.running({code}, {args[0]}, begun, last)")

    return write


def _running_since(code: int) -> Callable[[Step, list[str]], list[str]]:
    def write(step: Step, args: list[str]) -> list[str]:
        call = f"row.running_since({code}, {args[0]}, {args[1]} == 1.0, begun, last)"
        return _recursive(step, ["begun", "last"], call)

    return write


def _hold(step: Step, args: list[str]) -> list[str]:
    return [
        f"if {args[1]} == 1.0:",
        f"    put(m, {step.slot}, {args[0]})",
        f"v{step.dst} = get(m, {step.slot})",
    ]


def _since(step: Step, args: list[str]) -> list[str]:
    hit = f"{args[0]} == {args[0]}" if step.op == "age" else f"{args[0]} == 1.0"
    return [
        f"v{step.dst} = row.since({hit}, get(m, {step.slot}))",
        f"put(m, {step.slot}, v{step.dst})",
    ]


def _sar(step: Step, args: list[str]) -> list[str]:
    call = f"one.parabolic({_own(step)}, {args[0]}, {args[1]}, {step.least!r}, {step.number!r})"
    return [f"v{step.dst} = {call}"]


def _seasonal(step: Step, args: list[str]) -> list[str]:
    return [f"v{step.dst} = row.seasonal({args[0]}, {args[1]}, {step.n}, {step.number!r}, m, {step.slot})"]


_STATEFUL: dict[str, Callable[[Step, list[str]], list[str]]] = {
    "refs": _refs,
    "counts": _counts,
    "sum": _window("total"),
    "product": _window("product"),
    "min": _window("lowest"),
    "max": _window("highest"),
    "highest": _extreme,
    "lowest": _extreme,
    "var": _window("variance", "number"),
    "shape": _shape,
    "trend": _trend,
    "pair": _pair,
    "mad": _window("mean_deviation"),
    "order": _order,
    "ewm": _ewm,
    "decayed": _decayed,
    "recur": _recur,
    "cumsum": _running(0),
    "cumprod": _running(1),
    "cummin": _running(2),
    "cummax": _running(3),
    "first_since": _running_since(4),
    "sum_since": _running_since(0),
    "min_since": _running_since(2),
    "max_since": _running_since(3),
    "hold": _hold,
    "age": _since,
    "bars_since": _since,
    "sar": _sar,
    "seasonal": _seasonal,
}
