"""Lowering: expressions to one program, a list of instructions with the layout of their state.

The program knows nothing of an executor. Its canonical text (instructions, outputs, semantics and
numeric policy) is what the version is the hash of: the order in which features were declared, the
order of the operands of ``+`` and unused expressions do not change it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from nofx_pipelines.features.expr import Expr, Param, walk
from nofx_pipelines.features.operators import OPERATORS

POLICY = (
    "nofx features 1",
    "clock row; missing is null; not finite is missing; comparison with missing is missing; and/or Kleene",
    "window valid with min_valid values; ewm seeded by the mean of n values, carried over missing",
    "float64, no fastmath; windows as suffix of the last block of n rows and prefix of this one; "
    "variance anchored at a value inside each part",
)

LEAVES = frozenset({"column", "constant", "parameter"})
_WINDOW_SLOTS = {"rolling_sum": (2, 1), "rolling_min": (2, 1), "rolling_max": (2, 1), "rolling_var": (6, 2)}


@dataclass(frozen=True)
class Instruction:
    """``dst = op(args; params)`` over registers, with its slots of state.

    ``replayed`` state is rebuilt from the last ``lookback`` rows of bars, the rest is stored.
    """

    op: str
    dst: int
    args: tuple[int, ...]
    params: tuple[Param, ...]
    stage: int
    slot: int
    slots: int
    replayed: bool

    @property
    def period(self) -> int:
        """The length of the block of rows that its position counts in; 0 without a position."""
        windowed = self.op in _WINDOW_SLOTS or self.op in ("ref", "rolling_count")
        return int(self.params[0]) if windowed else 0


@dataclass(frozen=True)
class Program:
    """What a feature set computes."""

    instructions: tuple[Instruction, ...]
    outputs: tuple[tuple[str, int], ...]
    """Names in alphabetical order and their registers."""
    registers: int
    slots: int
    lookback: int

    @cached_property
    def text(self) -> str:
        """The canonical form."""
        lines = [
            f"r{i.dst} = {i.op}({', '.join(f'r{a}' for a in i.args)}; {', '.join(map(repr, i.params))})"
            for i in self.instructions
        ]
        return "\n".join([*POLICY, *lines, *(f"{name} = r{register}" for name, register in self.outputs)])

    @cached_property
    def version(self) -> str:
        """16 hexadecimal digits, other for another computation."""
        return sha256(self.text.encode()).hexdigest()[:16]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of ``bars`` that it reads."""
        return tuple(str(i.params[0]) for i in self.instructions if i.op == "column")

    @cached_property
    def stages(self) -> int:
        """Passes over the instruments: one more than the depth of cross-sectional operators."""
        return 1 + max((i.stage for i in self.instructions), default=0)

    @cached_property
    def stored_slots(self) -> tuple[int, ...]:
        """The slots that the last rows cannot rebuild."""
        kept = (range(i.slot, i.slot + i.slots) for i in self.instructions if not i.replayed)
        return tuple(slot for slots in kept for slot in slots)

    @cached_property
    def initial_state(self) -> tuple[float, ...]:
        """The state of an instrument before its first row."""
        values: list[float] = []
        for i in self.instructions:
            fixed, _ = _STATE.get(i.op, (0, 0))
            start = [float("nan") if i.op == "age" else 0.0] * fixed
            values += start + [_EMPTY.get(i.op, 0.0)] * (i.slots - fixed)
        return tuple(values)


def lower(features: Mapping[str, Expr]) -> Program:
    """The program of named expressions.

    >>> from nofx_pipelines.features import close, ref
    >>> a = lower({"gain": close - ref(close, 1), "last": ref(close, 1)})
    >>> b = lower({"last": ref(close, 1), "gain": close - ref(close, 1)})
    >>> a.version == b.version, [i.op for i in a.instructions], a.slots
    (True, ['column', 'ref', 'sub'], 2)
    """
    builder = _Builder()
    names = sorted(features)
    outputs = tuple((name, builder.register(features[name])) for name in names)
    return Program(
        instructions=tuple(builder.instructions),
        outputs=outputs,
        registers=len(builder.instructions),
        slots=builder.slots,
        lookback=max((expr.lookback for expr in features.values()), default=0),
    )


class _Builder:
    """Instructions in the order in which they are first needed, each only once."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.slots = 0
        self._known: dict[tuple[str, tuple[int, ...], tuple[Param, ...]], int] = {}
        self._registers: dict[Expr, int] = {}
        self._replayable: dict[int, bool] = {}

    def register(self, root: Expr) -> int:
        for node in walk(root):
            if node not in self._registers:
                self._registers[node] = self._lowered(node)
        return self._registers[root]

    def _lowered(self, node: Expr) -> int:
        args = tuple(self._registers[arg] for arg in node.args)
        if not node.op.startswith("rolling_"):
            return self._emit(node.op, args, node.params)
        n, least = node.params[:2]
        count = self._emit("rolling_count", args, (n,))
        if node.op == "rolling_count":
            return count
        if node.op == "rolling_mean":
            return self._emit("div", (self._emit("rolling_sum", (*args, count), (n, least)), count), ())
        if node.op == "rolling_std":
            return self._emit("sqrt", (self._emit("rolling_var", (*args, count), node.params),), ())
        return self._emit(node.op, (*args, count), node.params)

    def _emit(self, op: str, args: tuple[int, ...], params: tuple[Param, ...]) -> int:
        if OPERATORS[op].commutative:
            args = tuple(sorted(args))
        key = (op, args, params)
        if key not in self._known:
            self._known[key] = self._append(op, args, params)
        return self._known[key]

    def _append(self, op: str, args: tuple[int, ...], params: tuple[Param, ...]) -> int:
        kind = OPERATORS[op].kind
        stage = max(
            (self.instructions[a].stage + (OPERATORS[self.instructions[a].op].kind == "cross") for a in args),
            default=0,
        )
        replayed = kind not in ("recursive", "cross") and all(self._replayable[a] for a in args)
        slots = _slots(op, params)
        dst = len(self.instructions)
        self.instructions.append(Instruction(op, dst, args, params, stage, self.slots, slots, replayed))
        self._replayable[dst] = replayed
        self.slots += slots
        return dst


_STATE = {
    "ref": (1, 1),
    "rolling_count": (2, 1),
    **_WINDOW_SLOTS,
    "ewm": (2, 0),
    "cumsum": (2, 0),
    "age": (1, 0),
}
"""Numbers of state of an operator: so many, and so many for each row of its window."""
_EMPTY = {"ref": float("nan"), "rolling_min": float("inf"), "rolling_max": float("-inf")}
"""What a window's rows hold before there are any; 0 where not listed."""


def _slots(op: str, params: tuple[Param, ...]) -> int:
    fixed, arrays = _STATE.get(op, (0, 0))
    return fixed + (arrays * int(params[0]) if arrays else 0)
