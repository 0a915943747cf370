"""How an expression is written: the source text that builds it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nofx_pipelines.features.operators import OPERATORS

if TYPE_CHECKING:
    from nofx_pipelines.features.expr import Expr

_PRECEDENCE = {"<": 1, "<=": 1, "|": 2, "&": 3, "+": 5, "-": 5, "*": 6, "/": 6, "**": 8}
_CALL = 10
_POSITIONAL = ("n", "slots", "min_count")
_DEFAULTS = {"ddof": 1, "ties": "newest", "missing": "skip", "step": 0.02, "largest": 0.2}


def written(node: Expr, within: int = 0) -> str:
    """Source text of a node, in brackets where ``within`` binds tighter."""
    operator = OPERATORS[node.op]
    if node.op == "constant":
        return _number(float(node.params[0]), within)
    if operator.kind == "leaf":
        return "open_" if node.params[0] == "open" else str(node.params[0])
    if operator.infix is not None:
        own = _PRECEDENCE[operator.infix]
        left, right = (own + 1, own) if node.op == "pow" else (own, own + 1)
        sides = f"{written(node.args[0], left)} {operator.infix} {written(node.args[1], right)}"
        return f"({sides})" if own < within else sides
    if node.op in ("neg", "not"):
        prefix = "-" if node.op == "neg" else "~"
        text = prefix + written(node.args[0], 7)
        return f"({text})" if within > 7 else text
    if node.op == "eq":
        return f"{written(node.args[0], _CALL)}.equals({written(node.args[1])})"
    name, params = _call(node)
    args, groups = node.args[: operator.arity], node.args[operator.arity :]
    return f"{name}({', '.join([*map(written, args), *params, *(f'group={written(g)}' for g in groups)])})"


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
