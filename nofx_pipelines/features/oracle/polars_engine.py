"""The independent oracle: expressions lowered to Polars, straight from the tree.

It shares no code with `lower` and `kernel`: windows are Polars' rolling functions, recursions its
``ewm_mean`` over a seeded series. It reads whole histories and is slower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from nofx_pipelines.features.algebra.expr import Expr, walk
from nofx_pipelines.features.oracle.brute_force import BRUTE_FORCE
from nofx_pipelines.features.oracle.brute_force import evaluate as brute_force

Lowering = Callable[[Expr, list[pl.Expr]], pl.Expr]


def evaluate(rows: pl.DataFrame, features: Mapping[str, Expr], bars_per_year: float) -> pl.DataFrame:
    """One column a feature for rows sorted by instrument and time.

    Nodes of one depth are computed together, each as a column of its own: windows do not nest.
    """
    names: dict[Expr, str] = {}
    depths: dict[Expr, int] = {}
    layers: dict[int, list[Expr]] = {}
    for node in walk(*features.values()):
        depths[node] = 1 + max((depths[arg] for arg in node.args), default=0)
        names[node] = f"#{len(names)}"
        layers.setdefault(depths[node], []).append(node)
    frames = {b"": rows.with_row_index("#row")}
    for _, nodes in sorted(layers.items()):
        for clock in {node.clock or b"" for node in nodes}:
            own = [node for node in nodes if (node.clock or b"") == clock]
            frame = frames[clock] if clock in frames else _sampled(frames[b""], names[own[0].args[1]])
            columns = [_column(frame, frames, node, names, bars_per_year) for node in own]
            frames[clock] = frame.with_columns(*columns)
            if not clock:  # constants have every clock
                constants = [node for node in own if node.clock is None]
                for other in frames.keys() - {b""}:
                    frames[other] = frames[other].with_columns(
                        _column(frames[other], frames, node, names, bars_per_year) for node in constants
                    )
    return frames[b""].select(
        pl.col(names[expr]).cast(pl.Float64).alias(name) for name, expr in features.items()
    )


def _sampled(frame: pl.DataFrame, when: str) -> pl.DataFrame:
    """The rows at which the condition holds."""
    return frame.filter(pl.col(when).fill_null(value=False))


def _column(
    frame: pl.DataFrame,
    frames: Mapping[bytes, pl.DataFrame],
    node: Expr,
    names: Mapping[Expr, str],
    bars_per_year: float,
) -> pl.Expr | pl.Series:
    """The values of a node, a column of the frame of its clock."""
    args = [names[arg] for arg in node.args]
    if node.op == "sample":
        return frames[b""][args[0]].gather(frame["#row"]).alias(names[node])
    if node.op == "hold":
        sub = frames[node.args[1].digest]
        place = sub.select("#row", place=pl.int_range(pl.len(), dtype=pl.Int64))
        last = frame.select("instrument_id", "#row").join(place, on="#row", how="left", maintain_order="left")
        at = last.select(pl.col("place").forward_fill().over("instrument_id"))["place"]
        return sub[args[0]].gather(at).alias(names[node])
    if node.op in BRUTE_FORCE:
        return _written_out(frame, node, args, names[node])
    return _node(node, [pl.col(arg) for arg in args], bars_per_year).alias(names[node])


def _written_out(frame: pl.DataFrame, node: Expr, args: list[str], name: str) -> pl.Series:
    """A node that Polars has no function for, instrument by instrument."""
    values = [frame[arg].cast(pl.Float64).fill_null(float("nan")).to_numpy() for arg in args]
    ends = frame["instrument_id"].rle().struct.field("len").cum_sum().to_list()
    parts = [
        brute_force(node, [v[first:last] for v in values])
        for first, last in zip([0, *ends], ends, strict=False)
    ]
    return pl.Series(name, np.concatenate(parts) if parts else [], pl.Float64).fill_nan(None)


def _node(node: Expr, args: list[pl.Expr], bars_per_year: float) -> pl.Expr:
    if node.op == "column":
        return _known(pl.col(str(node.params[0])))
    if node.op in ("constant", "parameter"):
        return pl.lit(float(node.params[0]) if node.op == "constant" else bars_per_year)
    value = _LOWERINGS[node.op](node, args)
    return value if node.dtype == "boolean" else _known(value)


def _known(value: pl.Expr) -> pl.Expr:
    """Null where it is not a finite number."""
    number = value.cast(pl.Float64)
    return pl.when(number.is_finite()).then(number)


def _each(value: pl.Expr) -> pl.Expr:
    return value.over("instrument_id")


def _where(node: Expr, args: list[pl.Expr]) -> pl.Expr:
    condition, then, otherwise = args
    return pl.when(condition.is_null()).then(None).when(condition).then(then).otherwise(otherwise)


def _smaller(node: Expr, args: list[pl.Expr]) -> pl.Expr:
    return pl.when(args[0].is_not_null() & args[1].is_not_null()).then(pl.min_horizontal(args))


def _larger(node: Expr, args: list[pl.Expr]) -> pl.Expr:
    return pl.when(args[0].is_not_null() & args[1].is_not_null()).then(pl.max_horizontal(args))


def _rolling(node: Expr, x: pl.Expr) -> pl.Expr:
    """The rolling functions that take a window and the least number of valid values."""
    n, least = int(node.params[0]), int(node.params[1])
    functions = {
        "rolling_sum": x.rolling_sum,
        "rolling_mean": x.rolling_mean,
        "rolling_min": x.rolling_min,
        "rolling_max": x.rolling_max,
    }
    return _each(functions[node.op](n, min_samples=least))


def _spread(node: Expr, x: pl.Expr) -> pl.Expr:
    n, least, ddof = (int(param) for param in node.params)
    function = x.rolling_var if node.op == "rolling_var" else x.rolling_std
    return _each(function(n, min_samples=least, ddof=ddof))


def _ewm(node: Expr, args: list[pl.Expr]) -> pl.Expr:
    alpha, n, seed_at = float(node.params[0]), int(node.params[1]), int(node.params[2])
    x = args[0]
    seen = x.is_not_null().cum_sum()
    seed = x.filter((seen > seed_at - n) & (seen <= seed_at)).sum() / n
    seeded = pl.when(x.is_null() | (seen < seed_at)).then(None).when(seen == seed_at).then(seed).otherwise(x)
    smoothed = seeded.ewm_mean(alpha=alpha, adjust=False, ignore_nulls=True, min_samples=1)
    return _each(smoothed.forward_fill())


def _decayed(node: Expr, args: list[pl.Expr]) -> pl.Expr:
    alpha, least = float(node.params[0]), int(node.params[1])
    mean = args[0].ewm_mean(alpha=alpha, adjust=True, ignore_nulls=False, min_samples=1).forward_fill()
    return _each(pl.when(args[0].is_not_null().cum_sum() >= least).then(mean))


def _since(hit: pl.Expr) -> pl.Expr:
    at = pl.int_range(pl.len())
    return _each(at - pl.when(hit).then(at).forward_fill())


def _levels(x: pl.Expr) -> pl.Expr:
    """Numbers of values, the same for those that lie next to each other within 1e-10 of the largest."""
    apart = x.sort(nulls_last=True).diff() > 1e-10 * x.abs().max()
    return apart.fill_null(value=False).cum_sum().gather(x.rank("ordinal") - 1)


def _cross(node: Expr, args: list[pl.Expr]) -> pl.Expr:
    """The operators over the instruments of one close, those of one group where there is one."""
    wanted, keys = 2 if node.op == "neutralise" else 1, ["ts_close"]
    group = args[wanted] if len(args) > wanted else None
    there = args[0].is_not_null() if wanted == 1 else args[0].is_not_null() & args[1].is_not_null()
    if group is not None:
        keys, there = [*keys, group], there & group.is_not_null()  # type: ignore[list-item]
    x = pl.when(there).then(args[0])
    y = pl.when(there).then(args[1]) if wanted == 2 else x
    count, dx, dy = x.count(), x - x.mean(), y - y.mean()
    values = {
        "rank": (x.rank("average") - 1) / (count - 1) - 0.5,
        "rank_share": _levels(x).rank("average") / count,
        "zscore": pl.when(x.max() > x.min()).then(dx / x.std()),
        "demean": dx,
        "cross_mean": pl.when(there).then(x.mean()),
        "cross_sum": pl.when(there).then(x.sum()),
        "neutralise": pl.when(y.max() > y.min()).then(dx - dy * ((dx * dy).sum() / (dy * dy).sum())),
    }
    return pl.when(count >= int(node.params[0])).then(values[node.op]).over(keys)


_LOWERINGS: dict[str, Lowering] = {
    "add": lambda node, args: args[0] + args[1],
    "sub": lambda node, args: args[0] - args[1],
    "mul": lambda node, args: args[0] * args[1],
    "div": lambda node, args: args[0] / args[1],
    "pow": lambda node, args: args[0] ** args[1],
    "neg": lambda node, args: -args[0],
    "abs": lambda node, args: args[0].abs(),
    "sign": lambda node, args: args[0].sign(),
    "log": lambda node, args: args[0].log(),
    "exp": lambda node, args: args[0].exp(),
    "sqrt": lambda node, args: args[0].sqrt(),
    "atan": lambda node, args: args[0].arctan(),
    "floor": lambda node, args: args[0].floor(),
    "minimum": _smaller,
    "maximum": _larger,
    "lt": lambda node, args: args[0] < args[1],
    "le": lambda node, args: args[0] <= args[1],
    "eq": lambda node, args: args[0] == args[1],
    "not": lambda node, args: ~args[0],
    "and": lambda node, args: args[0] & args[1],
    "or": lambda node, args: args[0] | args[1],
    "where": _where,
    "is_null": lambda node, args: args[0].is_null(),
    "fill_null": lambda node, args: pl.coalesce(args),
    "ref": lambda node, args: _each(args[0].shift(int(node.params[0]))),
    "rolling_count": lambda node, args: _each(
        args[0].is_not_null().cast(pl.Int64).rolling_sum(int(node.params[0]), min_samples=1)
    ),
    "rolling_sum": lambda node, args: _rolling(node, args[0]),
    "rolling_mean": lambda node, args: _rolling(node, args[0]),
    "rolling_var": lambda node, args: _spread(node, args[0]),
    "rolling_std": lambda node, args: _spread(node, args[0]),
    "rolling_min": lambda node, args: _rolling(node, args[0]),
    "rolling_max": lambda node, args: _rolling(node, args[0]),
    "ewm": _ewm,
    "cumsum": lambda node, args: _each(args[0].cum_sum().forward_fill()),
    "cumprod": lambda node, args: _each(args[0].cum_prod().forward_fill()),
    "cummin": lambda node, args: _each(args[0].cum_min().forward_fill()),
    "cummax": lambda node, args: _each(args[0].cum_max().forward_fill()),
    "decayed_mean": _decayed,
    "age": lambda node, args: _since(args[0].is_not_null()),
    "bars_since": lambda node, args: _since(args[0]),
    "rank": _cross,
    "rank_share": _cross,
    "zscore": _cross,
    "demean": _cross,
    "cross_mean": _cross,
    "cross_sum": _cross,
    "neutralise": _cross,
}
