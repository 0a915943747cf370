"""A program's instructions as the kernel runs them: fused where they share a window, with their state.

Whatever looks at the same window of the same series is one step with several outputs: all lags of a series,
all counts, all quantiles and ranks, the line's slope, fit and residual, an extreme and its place. A step
computes each output in the same way whichever others it has, so fusing changes no bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.features.program.lowering import LEAVES, Instruction, Program, kind_of

I64 = NDArray[np.int64]
SIDE_BY_SIDE = frozenset({"mad", "seasonal"})
"""Steps whose last array of state stands side by side for each instrument."""
_NAN, _INF = math.nan, math.inf


@dataclass(frozen=True)
class Step:
    """``outs = op(args)``; ``outs`` are (register, lag or length) or, of `order`, come with (level, least).

    ``n`` rows of window; ``least`` and ``number`` are the kernel's numbers of that name. ``initial`` is an
    instrument's state before its first row; with a ``period`` its first number counts rows from ``phase``.
    ``beside`` says how many of its last numbers stand side by side.
    """

    op: str
    args: tuple[int, ...]
    outs: tuple[tuple[int, int], ...]
    levels: tuple[tuple[float, float], ...]
    n: int
    least: float
    number: float
    stage: int
    replayed: bool
    slot: int
    initial: tuple[float, ...]
    beside: int
    period: int
    phase: int
    clock: int
    """The register of the condition at whose rows alone it runs, -1 for all rows."""

    @property
    def reads(self) -> tuple[int, ...]:
        """The registers that it needs, its condition's too."""
        return self.args if self.clock < 0 else (*self.args, self.clock)

    @property
    def dst(self) -> int:
        """The register of a step with one output."""
        return self.outs[0][0]


@dataclass(frozen=True)
class Layout:
    """All steps of a program and their state."""

    steps: tuple[Step, ...]
    slots: int

    @cached_property
    def initial_state(self) -> tuple[float, ...]:
        """The state of an instrument before its first row."""
        return tuple(value for step in self.steps for value in step.initial)

    @cached_property
    def stored_slots(self) -> tuple[int, ...]:
        """The slots that the last rows cannot rebuild."""
        kept = (range(s.slot, s.slot + len(s.initial)) for s in self.steps if not s.replayed)
        return tuple(slot for slots in kept for slot in slots)

    def addresses(self, w: int) -> tuple[I64, I64]:
        """Where slot k of lane s lies among ``w`` lanes: base[k] + s * apart[k]."""
        base, apart = np.arange(self.slots, dtype=np.int64) * w, np.ones(self.slots, np.int64)
        for s in self.steps:
            if s.beside:
                first = s.slot + len(s.initial) - s.beside
                base[first : first + s.beside] = first * w + np.arange(s.beside)
                apart[first : first + s.beside] = s.beside
        return base, apart

    @cached_property
    def line(self) -> int:
        """Length of the longest ring."""
        return max((s.n for s in self.steps), default=0)


@lru_cache(maxsize=64)
def layout_of(program: Program) -> Layout:
    """The program's steps, in an order in which each finds its operands."""
    groups: dict[tuple[object, ...], list[Instruction]] = {}
    for i in program.instructions:
        if i.op not in LEAVES and kind_of(i.op) != "cross":
            groups.setdefault(_key(i, program.instructions), []).append(i)
    steps, slot = [], 0
    for members in groups.values():
        drawn = _FAMILIES[_family(members[0].op)](members)
        args, initial = members[0].args, drawn.initial
        phase = _phase(drawn.op, drawn.n, args, program.instructions) if drawn.blocked else 0
        if drawn.period:
            initial = (float(phase), *initial[1:])
        step = Step(
            op=drawn.op,
            args=args,
            outs=tuple(drawn.outs),
            levels=tuple(drawn.levels),
            n=drawn.n,
            least=drawn.least,
            number=drawn.number,
            stage=members[0].stage,
            replayed=members[0].replayed,
            slot=slot,
            initial=initial,
            beside=drawn.beside,
            period=drawn.period,
            phase=phase,
            clock=-1 if drawn.op == "sample" else members[0].clock,  # it reads all rows
        )
        steps.append(step)
        slot += len(initial)
    return Layout(tuple(steps), slot)


@dataclass
class _Drawn:
    """A step before it has its place."""

    op: str
    outs: Iterable[tuple[int, int]]
    n: int = 0
    least: float = 0.0
    number: float = 0.0
    initial: tuple[float, ...] = ()
    levels: Iterable[tuple[float, float]] = ()
    beside: int = 0
    period: int = 0
    blocked: bool = False
    """Whether its window is the rest of one block and the beginning of the next."""


_FUSED = {
    "ref": "refs", "rolling_count": "counts", "rolling_quantile": "order", "rolling_rank": "order",
    "rolling_slope": "trend", "rolling_rsquare": "trend", "rolling_residual": "trend",
    "rolling_wmean": "trend",
    "rolling_cov": "pair", "rolling_corr": "pair", "rolling_beta": "pair", "rolling_beta_residual": "pair",
    "rolling_skew": "shape", "rolling_kurt": "shape",
    "rolling_argmax": "highest", "rolling_argmin": "lowest",
    "rolling_sum": "sum", "rolling_product": "product", "rolling_min": "min", "rolling_max": "max",
    "rolling_var": "var", "rolling_mad": "mad", "decayed_mean": "decayed", "seasonal_mean": "seasonal",
}  # fmt: skip
"""The step that an instruction belongs to, where its name is another."""


def _family(op: str) -> str:
    return _FUSED.get(op, op)


def _key(i: Instruction, code: tuple[Instruction, ...]) -> tuple[object, ...]:
    """What instructions of one step have in common."""
    family = _family(i.op)
    if family in ("refs", "counts"):
        return family, i.args
    if family == "order":
        return family, i.args, i.params[0]
    if family in ("trend", "shape"):
        return family, i.args, i.params[:2]
    if family == "pair":
        return family, i.args, i.params[:2], i.params[2] if i.op == "rolling_cov" else 1
    if family in ("max", "min"):
        beside = _place_of(i, code)
        return (i.dst,) if beside is None else _key(beside, code)
    return (i.dst,)


def _place_of(i: Instruction, code: tuple[Instruction, ...]) -> Instruction | None:
    """The instruction that looks for the place of the same extreme, which then gives the extreme too."""
    op = "rolling_argmax" if i.op == "rolling_max" else "rolling_argmin"
    for other in code:
        if (
            other.op == op
            and (other.args, other.params[:2]) == (i.args, i.params[:2])
            and other.params[3] == "skip"
        ):
            return other
    return None


def _phase(op: str, n: int, args: tuple[int, ...], code: tuple[Instruction, ...]) -> int:
    """Where in a block of n rows the first row stands, so that not all blocks end at the same row.

    It follows from what the step reads, not from which outputs it has or what else the program holds.
    """
    read = f"{op}|{n}|".encode() + b"".join(code[a].content for a in args)
    return int.from_bytes(blake2b(read, digest_size=8).digest(), "little") % n


def _window(first: Instruction) -> tuple[int, float]:
    return int(first.params[0]), float(first.params[1])


def _refs(members: list[Instruction]) -> _Drawn:
    n = max(int(i.params[0]) for i in members)
    outs = [(i.dst, int(i.params[0])) for i in members]
    return _Drawn("refs", outs, n, initial=(0.0, *[_NAN] * n), period=n)


def _counts(members: list[Instruction]) -> _Drawn:
    n = max(int(i.params[0]) for i in members)
    outs = [(i.dst, int(i.params[0])) for i in members]
    return _Drawn("counts", outs, n, initial=(0.0, 0.0, *[0.0] * (len(outs) + n)), period=n)


def _aggregate(op: str, neutral: float) -> Callable[[list[Instruction]], _Drawn]:
    def draw(members: list[Instruction]) -> _Drawn:
        (i,) = members
        n, least = _window(i)
        initial = (0.0, neutral, *[neutral] * n)
        return _Drawn(op, [(i.dst, 0)], n, least, initial=initial, period=n, blocked=True)

    return draw


def _extreme(op: str, empty: float) -> Callable[[list[Instruction]], _Drawn]:
    plain = "rolling_max" if op == "highest" else "rolling_min"

    def draw(members: list[Instruction]) -> _Drawn:
        place = next(i for i in members if i.op != plain)
        value = next((i.dst for i in members if i.op == plain), -1)
        n, least = _window(place)
        ties = float(place.params[2] == "newest") + 2.0 * (place.params[3] == "first")
        initial = (0.0, empty, 0.0, *[empty] * n, *[0.0] * n)
        outs = [(value, 0), (place.dst, 1)]
        return _Drawn(op, outs, n, least, ties, initial, period=n, blocked=True)

    return draw


def _fields(op: str, names: tuple[str, ...], before: int, anchors: int, sums: int, raw: int) -> Callable[
    [list[Instruction]], _Drawn
]:  # fmt: skip
    """A step of moments: ``before`` changing numbers, ``anchors``, ``sums`` arrays, ``raw`` of values."""

    def draw(members: list[Instruction]) -> _Drawn:
        first = members[0]
        n, least = _window(first)
        place = {i.op: i.dst for i in members}
        outs = [(place.get(name, -1), k) for k, name in enumerate(names)]
        ddof = next((float(i.params[2]) for i in members if i.op in ("rolling_cov", "rolling_var")), 1.0)
        initial = (*[0.0] * (before + anchors), *[_NAN] * (raw * n), *[0.0] * ((sums - raw) * n))
        return _Drawn(op, outs, n, least, ddof, initial, period=n, blocked=True)

    return draw


def _mad(members: list[Instruction]) -> _Drawn:
    (i,) = members
    n, least = _window(i)
    return _Drawn("mad", [(i.dst, 0)], n, least, initial=(0.0, *[_NAN] * n), beside=n, period=n)


def _order(members: list[Instruction]) -> _Drawn:
    n = int(members[0].params[0])
    levels = [
        (float(i.params[2]) if i.op == "rolling_quantile" else -1.0, float(i.params[1])) for i in members
    ]
    outs = [(i.dst, 0) for i in members]
    array = (-_INF, *[_INF] * (n + 1))
    initial = (0.0, 0.0, 0.0, *[_NAN] * n, *array, *array)
    return _Drawn("order", outs, n, initial=initial, levels=levels, period=n)


def _ewm(members: list[Instruction]) -> _Drawn:
    (i,) = members
    alpha, n, seed_at = i.params
    return _Drawn("ewm", [(i.dst, 0)], int(n), float(seed_at), float(alpha), (0.0, 0.0))


def _decayed(members: list[Instruction]) -> _Drawn:
    (i,) = members
    return _Drawn("decayed", [(i.dst, 0)], 0, float(i.params[1]), float(i.params[0]), (0.0, 0.0, 0.0))


def _sar(members: list[Instruction]) -> _Drawn:
    (i,) = members
    return _Drawn("sar", [(i.dst, 0)], 0, float(i.params[0]), float(i.params[1]), (0.0,) * 7)


def _seasonal(members: list[Instruction]) -> _Drawn:
    (i,) = members
    slots = int(i.params[0])
    return _Drawn(
        "seasonal", [(i.dst, 0)], slots, 0.0, float(i.params[1]), (0.0,) * 2 * slots, beside=2 * slots
    )


def _bare(initial: tuple[float, ...]) -> Callable[[list[Instruction]], _Drawn]:
    """A step without a window."""

    def draw(members: list[Instruction]) -> _Drawn:
        (i,) = members
        return _Drawn(i.op, [(i.dst, 0)], initial=initial)

    return draw


_ELEMENTWISE = (
    "add", "sub", "mul", "div", "pow", "neg", "abs", "sign", "log", "exp", "sqrt", "atan", "minimum",
    "maximum",
    "floor", "lt", "le", "eq", "not", "and", "or", "where", "is_null", "fill_null", "known",
)  # fmt: skip

_FAMILIES: dict[str, Callable[[list[Instruction]], _Drawn]] = {
    **{op: _bare(()) for op in _ELEMENTWISE},
    **{op: _bare((0.0, 0.0)) for op in ("recur", "cumsum", "cumprod", "cummin", "cummax")},
    **{op: _bare((0.0, 0.0)) for op in ("first_since", "sum_since", "max_since", "min_since")},
    "sample": _bare(()),
    "hold": _bare((_NAN,)),
    "age": _bare((_NAN,)),
    "bars_since": _bare((_NAN,)),
    "refs": _refs,
    "counts": _counts,
    "sum": _aggregate("sum", 0.0),
    "product": _aggregate("product", 1.0),
    "min": _aggregate("min", _INF),
    "max": _aggregate("max", -_INF),
    "highest": _extreme("highest", -_INF),
    "lowest": _extreme("lowest", _INF),
    "var": _fields("var", ("rolling_var",), 5, 1, 2, 1),
    "shape": _fields("shape", ("rolling_skew", "rolling_kurt"), 7, 1, 4, 1),
    "trend": _fields(
        "trend", ("rolling_slope", "rolling_rsquare", "rolling_residual", "rolling_wmean"), 9, 1, 5, 1
    ),
    "pair": _fields(
        "pair", ("rolling_cov", "rolling_corr", "rolling_beta", "rolling_beta_residual"), 9, 2, 5, 2
    ),
    "mad": _mad,
    "order": _order,
    "ewm": _ewm,
    "decayed": _decayed,
    "sar": _sar,
    "seasonal": _seasonal,
}
