"""The expression algebra: what a feature is, written with Python's operators.

Null is missing: an operator on a missing value is missing, a comparison with null is null, a result
that is not finite (a division by zero, the logarithm of zero) is missing. A window gives a value
only when it holds ``min_valid`` valid values, by default all of them. Rows are an instrument's own
traded bars.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.algebra.operators import COLUMNS, OPERATORS, PARAMETERS, Dtype, Operator

Param = int | float | str


@dataclass(frozen=True, eq=False, repr=False)
class Expr:
    """One immutable, hashable node; equal when it computes the same (operands of + and * commute).

    >>> from nofx_pipelines.features.algebra.functions import close, ref
    >>> change = (close - ref(close, 1)) / ref(close, 1)
    >>> change
    (close - ref(close, 1)) / ref(close, 1)
    >>> change.lookback, change.dependencies
    (1, ('close',))
    >>> close + 1 == 1 + close
    True
    """

    op: str
    args: tuple[Expr, ...] = ()
    params: tuple[Param, ...] = ()
    digest: bytes = field(init=False)
    lookback: int = field(init=False)
    """Earlier rows that the windows reach back to; a recursive operator needs its state besides."""
    warm_up: int = field(init=False)
    """Rows of an instrument before the first value, when nothing is missing."""
    stage: int = field(init=False)
    """How many cross-sectional operators lie below: a pass over the instruments each."""
    recursive: bool = field(init=False)
    """Whether a state is needed besides the last ``lookback`` rows."""
    clock: bytes | None = field(init=False)
    """Which rows it has: all (empty), a condition's (its digest), or no own ones (None: constants)."""

    def __post_init__(self) -> None:
        operator = _checked(self.op, self.args)
        digests = [arg.digest for arg in self.args]
        if operator.commutative:
            digests.sort()
        text = f"{self.op}|{self.params!r}|".encode()
        clock = _clock(self.op, self.args)
        reach = (0, _reach(self.op, self.params)[1]) if clock else _reach(self.op, self.params)
        warm_ups = [arg.warm_up for arg in self.args]
        if self.op in ("fill_null", "is_null"):
            warm_ups = [0]
        put = object.__setattr__
        put(self, "digest", blake2b(text + b"".join(digests), digest_size=16).digest())
        put(self, "lookback", reach[0] + max((arg.lookback for arg in self.args), default=0))
        put(self, "warm_up", reach[1] + max(warm_ups, default=0))
        put(self, "stage", max((arg.stage for arg in self.args), default=0) + (operator.kind == "cross"))
        put(
            self,
            "recursive",
            operator.kind in ("recursive", "clock") or any(arg.recursive for arg in self.args),
        )

        put(self, "clock", clock)

    @property
    def dtype(self) -> Dtype:
        """``number`` or ``boolean``."""
        return OPERATORS[self.op].returns

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The columns of ``bars`` that it reads, in alphabetical order."""
        return tuple(sorted({str(node.params[0]) for node in walk(self) if node.op == "column"}))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expr) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __bool__(self) -> bool:
        raise FeatureError(
            f"`{self!r}` has no truth value: it is an expression, not a number",
            hint="write where(condition, a, b), and & | ~ instead of and, or, not",
        )

    def __repr__(self) -> str:
        return self.to_source()

    def to_source(self, within: int = 0) -> str:
        """The source text that builds it again, in brackets where ``within`` binds tighter."""
        return _source(self, within)

    def __add__(self, other: Operand) -> Expr:
        return _arithmetic("add", self, other)

    def __radd__(self, other: Operand) -> Expr:
        return _arithmetic("add", other, self)

    def __sub__(self, other: Operand) -> Expr:
        return _arithmetic("sub", self, other)

    def __rsub__(self, other: Operand) -> Expr:
        return _arithmetic("sub", other, self)

    def __mul__(self, other: Operand) -> Expr:
        return _arithmetic("mul", self, other)

    def __rmul__(self, other: Operand) -> Expr:
        return _arithmetic("mul", other, self)

    def __truediv__(self, other: Operand) -> Expr:
        return _arithmetic("div", self, other)

    def __rtruediv__(self, other: Operand) -> Expr:
        return _arithmetic("div", other, self)

    def __pow__(self, other: Operand) -> Expr:
        return _arithmetic("pow", self, other)

    def __neg__(self) -> Expr:
        return Expr("neg", (self,))

    def __abs__(self) -> Expr:
        return Expr("abs", (self,))

    def __lt__(self, other: Operand) -> Expr:
        return Expr("lt", (self, as_expr(other)))

    def __le__(self, other: Operand) -> Expr:
        return Expr("le", (self, as_expr(other)))

    def __gt__(self, other: Operand) -> Expr:
        return Expr("lt", (as_expr(other), self))

    def __ge__(self, other: Operand) -> Expr:
        return Expr("le", (as_expr(other), self))

    def __and__(self, other: Expr) -> Expr:
        return Expr("and", (self, other))

    def __or__(self, other: Expr) -> Expr:
        return Expr("or", (self, other))

    def __invert__(self) -> Expr:
        return Expr("not", (self,))

    def equals(self, other: Operand) -> Expr:
        """Where both are equal (``==`` compares the expressions themselves)."""
        return Expr("eq", (self, as_expr(other)))


Operand = Expr | float | int


def walk(*roots: Expr) -> Iterator[Expr]:
    """Every distinct node below ``roots``, operands before what uses them."""
    seen: set[Expr] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if node in seen:
            continue
        if ready:
            seen.add(node)
            yield node
        else:
            stack.append((node, True))
            stack.extend((arg, False) for arg in reversed(_in_order(node)))


def _in_order(node: Expr) -> tuple[Expr, ...]:
    """The operands; those that commute in an order that does not depend on how they were written."""
    return (
        tuple(sorted(node.args, key=lambda arg: arg.digest)) if OPERATORS[node.op].commutative else node.args
    )


def column(name: str) -> Expr:
    """A column of ``bars``; FeatureError when there is none of that name."""
    if name not in COLUMNS:
        raise FeatureError(f"column {name!r} is not one that features read", hint=f"use one of {COLUMNS}")
    return Expr("column", (), (name,))


def parameter(name: str) -> Expr:
    """A number that is given with the bars, such as ``bars_per_year``."""
    if name not in PARAMETERS:
        raise FeatureError(f"no parameter {name!r}", hint=f"use one of {PARAMETERS}")
    return Expr("parameter", (), (name,))


def as_expr(value: Operand) -> Expr:
    """A number as a constant; an expression as it is."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise FeatureError(
            f"{value!r} is not a finite number or an expression", hint="write 0.5 or column('close')"
        )
    return Expr("constant", (), (float(value),))


_FOLD = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
}


def _arithmetic(op: str, left: Operand, right: Operand) -> Expr:
    """The node, or the constant when both sides are constants and the result is finite."""
    a, b = as_expr(left), as_expr(right)
    if op in _FOLD and a.op == b.op == "constant" and not (op == "div" and b.params[0] == 0):
        value = float(_FOLD[op](a.params[0], b.params[0]))
        if math.isfinite(value):
            return as_expr(value)
    return Expr(op, (a, b))


def _checked(op: str, args: tuple[Expr, ...]) -> Operator:
    operator = OPERATORS.get(op)
    if operator is None:
        raise FeatureError(f"no operator {op!r}", hint=f"use one of {sorted(OPERATORS)}")
    if not operator.arity <= len(args) <= operator.arity + operator.optional:
        raise FeatureError(f"{op} takes {operator.arity} operands, got {len(args)}")
    wants = _MIXED.get(op, [operator.takes] * len(args))
    for want, arg in zip(wants, args, strict=True):
        if want not in ("any", arg.dtype):
            raise FeatureError(
                f"{op} takes a {want}, `{arg!r}` is a {arg.dtype}",
                hint="compare first (a > b), or turn a condition into numbers with where(condition, 1, 0)",
            )
    return operator


_MIXED: dict[str, list[str]] = {
    "where": ["boolean", "number", "number"],
    **{
        op: ["number", "boolean"]
        for op in ("sample", "hold", "first_since", "sum_since", "max_since", "min_since")
    },
}
"""What the operands are where they are not all of one kind."""


def _clock(op: str, args: tuple[Expr, ...]) -> bytes | None:
    """The clock of a node; FeatureError where its operands have several."""
    if op == "column":
        return b""
    if op in ("sample", "hold"):
        x, when = args
        own, back = (b"", when.digest) if op == "sample" else (when.digest, b"")
        if when.clock != b"" or x.clock not in (own, None):
            raise FeatureError(
                f"{op} of `{x!r}` at `{when!r}` mixes clocks",
                hint="sample(x, when) takes all rows, hold(y, when) what was sampled at the same when",
            )
        return back
    clocks = {arg.clock for arg in args} - {None}
    if len(clocks) > 1 or (OPERATORS[op].kind == "cross" and clocks - {b""}):
        raise FeatureError(
            f"{op} of {', '.join(f'`{arg!r}`' for arg in args)} mixes clocks",
            hint="bring what was sampled back with hold(y, when) first",
        )
    return clocks.pop() if clocks else None


_LEAST_VALUES = {
    "rolling_skew": 3, "rolling_kurt": 4, "rolling_slope": 2, "rolling_rsquare": 2, "rolling_residual": 2,
    "rolling_corr": 2, "rolling_beta": 2, "rolling_beta_residual": 2,
}  # fmt: skip


def _reach(op: str, params: tuple[Param, ...]) -> tuple[int, int]:
    """Rows looked back and rows before the first value, of the operator alone."""
    if op == "ref":
        return int(params[0]), int(params[0])
    if op == "rolling_count":
        return int(params[0]) - 1, 0
    if op.startswith("rolling_"):
        least = max(int(params[1]), _LEAST_VALUES.get(op, 1))
        return int(params[0]) - 1, least - 1
    if op in ("ewm", "decayed_mean"):
        return 0, int(params[-1]) - 1
    return 0, int(op in ("sar", "seasonal_mean"))


_PRECEDENCE = {"<": 1, "<=": 1, "|": 2, "&": 3, "+": 5, "-": 5, "*": 6, "/": 6, "**": 8}
_CALL = 10
_POSITIONAL = ("n", "slots", "min_count")
_DEFAULTS = {"ddof": 1, "ties": "newest", "missing": "skip", "step": 0.02, "largest": 0.2}


def _source(node: Expr, within: int = 0) -> str:
    """Source text of a node, in brackets where ``within`` binds tighter."""
    operator = OPERATORS[node.op]
    if node.op == "constant":
        return _number(float(node.params[0]), within)
    if operator.kind == "leaf":
        return "open_" if node.params[0] == "open" else str(node.params[0])
    if operator.infix is not None:
        own = _PRECEDENCE[operator.infix]
        left, right = (own + 1, own) if node.op == "pow" else (own, own + 1)
        sides = f"{_source(node.args[0], left)} {operator.infix} {_source(node.args[1], right)}"
        return f"({sides})" if own < within else sides
    if node.op in ("neg", "not"):
        prefix = "-" if node.op == "neg" else "~"
        text = prefix + _source(node.args[0], 7)
        return f"({text})" if within > 7 else text
    if node.op == "eq":
        return f"{_source(node.args[0], _CALL)}.equals({_source(node.args[1])})"
    name, params = _call(node)
    args, groups = node.args[: operator.arity], node.args[operator.arity :]
    return f"{name}({', '.join([*map(_source, args), *params, *(f'group={_source(g)}' for g in groups)])})"


def _number(value: float, within: int) -> str:
    text = repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return f"({text})" if value < 0 and within > 0 else text


def _call(node: Expr) -> tuple[str, list[str]]:
    """The function's name and its parameters, those left out that are the default."""
    if node.op == "ewm":
        alpha, n, seed_at = node.params
        seed = [] if seed_at == n else [f"seed_at={seed_at}"]
        if alpha == 2 / (int(n) + 1):
            return "ema", [str(n), *seed]
        if alpha == 1 / int(n) and not seed:
            return "wilder", [str(n)]
        return "ewm", [str(n), f"alpha={alpha!r}", *seed]
    values = dict(zip(OPERATORS[node.op].params, node.params, strict=True))
    if values.get("min_valid") == values.get("n"):
        values.pop("min_valid", None)
    if node.op in ("rank_share", "cross_sum") and values["min_count"] == 1:
        del values["min_count"]
    if node.op == "decayed_mean" and values["min_valid"] == 1:
        del values["min_valid"]
    shown = {k: v for k, v in values.items() if _DEFAULTS.get(k) != v}
    return node.op, [repr(v) if k in _POSITIONAL else f"{k}={v!r}" for k, v in shown.items()]
