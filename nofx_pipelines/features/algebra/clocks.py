"""Which rows a feature's windows count: the instrument's own traded bars, or every bar of its calendar.

On the clock ``row`` a suspended day is no row: 20 bars are 20 traded ones. On ``calendar`` it is a row whose
numbers are missing. A set with both runs over all bars, its features of traded bars on the clock of those;
either way a feature has values at traded bars only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from nofx_pipelines.features.algebra.expr import Expr, column, walk
from nofx_pipelines.features.algebra.functions import hold, sample, where
from nofx_pipelines.features.algebra.operators import OPERATORS

Clock = Literal["row", "calendar"]
TRADED = "traded"
_traded = column(TRADED).equals(1)


def on_one_clock(features: Mapping[str, tuple[Expr, Clock]]) -> dict[str, Expr]:
    """The expressions as they run together: as they are where all are of traded bars.

    >>> from nofx_pipelines.features import close, ref
    >>> on_one_clock({"gain": (close - ref(close, 1), "row")})
    {'gain': close - ref(close, 1)}
    """
    if all(clock == "row" for _, clock in features.values()):
        return {name: expr for name, (expr, _) in features.items()}
    made = {
        name: on_calendar(e) if clock == "calendar" else on_rows(e) for name, (e, clock) in features.items()
    }
    return {**made, TRADED: column(TRADED)}


def on_calendar(expr: Expr) -> Expr:
    """Every bar is a row; what comes out counts at traded ones."""
    return _where_traded(expr)


def on_rows(expr: Expr) -> Expr:
    """The expression over traded bars, where the rows are all bars."""
    made: dict[Expr, Expr] = {}
    for node in walk(expr):
        args = tuple(made[arg] for arg in node.args)
        rewritten = _REWRITTEN.get(node.op) or (_across if OPERATORS[node.op].kind == "cross" else None)
        made[node] = node if node.clock is None else rewritten(node, args) if rewritten else _same(node, args)
    return hold(made[expr], _traded)


def _same(node: Expr, args: tuple[Expr, ...]) -> Expr:
    return Expr(node.op, args, node.params)


def _where_traded(x: Expr) -> Expr:
    """x, missing where nothing was traded."""
    return x / where(_traded, 1, 0)


def _whole(x: Expr) -> Expr:
    """What is known of traded bars, at all rows."""
    return x if x.clock is None else _where_traded(hold(x, _traded))


def _column(node: Expr, _args: tuple[Expr, ...]) -> Expr:
    return sample(node, _traded)


def _across(node: Expr, args: tuple[Expr, ...]) -> Expr:
    return sample(Expr(node.op, tuple(map(_whole, args)), node.params), _traded)


def _condition(when: Expr) -> Expr:
    return _whole(where(when, 1, 0)).equals(1)


def _sampled(_node: Expr, args: tuple[Expr, ...]) -> Expr:
    return sample(_whole(args[0]), _condition(args[1]))


def _held(_node: Expr, args: tuple[Expr, ...]) -> Expr:
    return sample(hold(args[0], _condition(args[1])), _traded)


_REWRITTEN: dict[str, Callable[[Expr, tuple[Expr, ...]], Expr]] = {
    "column": _column,
    "sample": _sampled,
    "hold": _held,
}
