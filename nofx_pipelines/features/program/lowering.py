"""Lowering: expressions to one program, a list of instructions.

The program knows nothing of an executor. Its canonical text (instructions, outputs, semantics and
numeric policy) is what the version is the hash of: the order in which features were declared, the
order of the operands of ``+`` and unused expressions do not change it. How instructions are fused and
where their state lies is `steps`' matter and changes neither the text nor a single bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b, sha256

from nofx_pipelines.features.algebra.expr import Expr, Param, walk
from nofx_pipelines.features.algebra.operators import OPERATORS, Kind

POLICY = (
    "nofx features 2",
    "clock row; missing is null; not finite is missing; comparison with missing is missing; and/or Kleene",
    "window valid with min_valid values; ewm seeded by the mean of n values, carried over missing",
    "float64, no fastmath; windows as suffix of the last block of n rows and prefix of this one, blocks "
    "begin at a phase of their own; moments anchored at a value inside each part",
)

LEAVES = frozenset({"column", "constant", "parameter"})
_BINARY = frozenset({"rolling_cov", "rolling_corr", "rolling_beta", "rolling_beta_residual"})
_UNCOUNTED = frozenset({"rolling_count", "rolling_quantile", "rolling_rank"})
"""Windows that count their valid values themselves."""


def kind_of(op: str) -> Kind:
    """The kind of an operator, those included that only programs have."""
    return "elementwise" if op == "known" else OPERATORS[op].kind


@dataclass(frozen=True)
class Instruction:
    """``dst = op(args; params)`` over registers.

    ``content`` is the hash of what it computes, whatever else the program holds. ``replayed`` state is
    rebuilt from the last ``lookback`` rows of bars, the rest is stored.
    """

    op: str
    dst: int
    args: tuple[int, ...]
    params: tuple[Param, ...]
    stage: int
    content: bytes
    replayed: bool
    clock: int = -1
    """The register of the condition at whose rows alone it runs."""


@dataclass(frozen=True, eq=False)
class Program:
    """What a feature set computes; equal when its version is."""

    instructions: tuple[Instruction, ...]
    outputs: tuple[tuple[str, int], ...]
    """Names in alphabetical order and their registers."""
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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.version == other.version

    def __hash__(self) -> int:
        return hash(self.version)

    @property
    def registers(self) -> int:
        """How many registers there are, one an instruction."""
        return len(self.instructions)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of ``bars`` that it reads."""
        return tuple(str(i.params[0]) for i in self.instructions if i.op == "column")

    @cached_property
    def stages(self) -> int:
        """Passes over the instruments: one more than the depth of cross-sectional operators."""
        return 1 + max((i.stage for i in self.instructions), default=0)


def lower(features: Mapping[str, Expr]) -> Program:
    """The program of named expressions.

    >>> from nofx_pipelines.features import close, ref
    >>> a = lower({"gain": close - ref(close, 1), "last": ref(close, 1)})
    >>> b = lower({"last": ref(close, 1), "gain": close - ref(close, 1)})
    >>> a.version == b.version, [i.op for i in a.instructions]
    (True, ['column', 'ref', 'sub'])
    """
    builder = _Builder()
    names = sorted(features)
    outputs = tuple((name, builder.register(features[name])) for name in names)
    lookback = max((expr.lookback for expr in features.values()), default=0)
    return Program(tuple(builder.instructions), outputs, lookback)


class _Builder:
    """Instructions in the order in which they are first needed, each only once."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self._known: dict[bytes, int] = {}
        self._registers: dict[Expr, int] = {}

    def register(self, root: Expr) -> int:
        for node in walk(root):
            if node not in self._registers:
                self._registers[node] = self._lowered(node)
        return self._registers[root]

    def _lowered(self, node: Expr) -> int:
        args, op = tuple(self._registers[arg] for arg in node.args), node.op
        if not op.startswith("rolling_") or op in _UNCOUNTED:
            return self._emit(op, args, node.params)
        n, least = node.params[:2]
        counted = self._emit("known", args, ()) if op in _BINARY else args[0]
        count = self._emit("rolling_count", (counted,), (n,))
        if op == "rolling_mean":
            return self._emit("div", (self._emit("rolling_sum", (*args, count), (n, least)), count), ())
        if op == "rolling_std":
            return self._emit("sqrt", (self._emit("rolling_var", (*args, count), node.params),), ())
        return self._emit(op, (*args, count), node.params)

    def _emit(self, op: str, args: tuple[int, ...], params: tuple[Param, ...]) -> int:
        if op == "known" or OPERATORS[op].commutative:
            args = tuple(sorted(args, key=lambda a: self.instructions[a].content))
        below = b"".join(self.instructions[a].content for a in args)
        content = blake2b(f"{op}|{params!r}|".encode() + below, digest_size=16).digest()
        if content not in self._known:
            self._known[content] = self._append(op, args, params, content)
        return self._known[content]

    def _append(self, op: str, args: tuple[int, ...], params: tuple[Param, ...], content: bytes) -> int:
        operands = [self.instructions[a] for a in args]
        stage = max((i.stage + (kind_of(i.op) == "cross") for i in operands), default=0)
        replayed = kind_of(op) in ("leaf", "elementwise", "window") and all(i.replayed for i in operands)
        clock = (
            args[1]
            if op == "sample"
            else -1
            if op == "hold"
            else max((i.clock for i in operands), default=-1)
        )
        self.instructions.append(
            Instruction(op, len(self.instructions), args, params, stage, content, replayed, clock)
        )
        return len(self.instructions) - 1
