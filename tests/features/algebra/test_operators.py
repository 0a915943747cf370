"""Every elementwise operator by hand, in both engines, missing values included."""

from __future__ import annotations

import math

import polars as pl
import pytest

from nofx_pipelines.features import (
    Expr,
    atan,
    close,
    compute,
    exp,
    fill_null,
    is_null,
    log,
    maximum,
    minimum,
    open_,
    sign,
    sqrt,
    where,
)
from nofx_pipelines.features.algebra.operators import OPERATORS
from nofx_pipelines.features.execution import cross_section
from nofx_pipelines.features.kernel import codes
from nofx_pipelines.features.kernel.source import _ELEMENTWISE, _STATEFUL
from nofx_pipelines.features.oracle.brute_force import BRUTE_FORCE
from nofx_pipelines.features.oracle.polars_engine import _LOWERINGS
from nofx_pipelines.features.program.steps import _FAMILIES, _FUSED
from tests.features.worlds import YEAR, one_series, set_of

LEFT = [1.0, 2.0, 3.0, -4.0, None, 5.0, None, 0.0, -0.25]
RIGHT = [2.0, 2.0, 1.0, 4.0, 1.0, None, None, 0.0, 2.0]
N = None


def flag(condition: Expr) -> Expr:
    return where(condition, 1, 0)


CASES: dict[str, tuple[Expr, list[float | None]]] = {
    "add": (close + open_, [3, 4, 4, 0, N, N, N, 0, 1.75]),
    "sub": (close - open_, [-1, 0, 2, -8, N, N, N, 0, -2.25]),
    "mul": (close * open_, [2, 4, 3, -16, N, N, N, 0, -0.5]),
    "div": (close / open_, [0.5, 1, 3, -1, N, N, N, N, -0.125]),
    "div by zero": (1 / close, [1, 0.5, 1 / 3, -0.25, N, 0.2, N, N, -4]),
    "pow": (close**open_, [1, 4, 3, 256, N, N, N, 1, 0.0625]),
    "pow of a negative number": (open_ * 0 + close**0.5 * 1, [1, 2**0.5, 3**0.5, N, N, N, N, 0, N]),
    "neg": (-close, [-1, -2, -3, 4, N, -5, N, 0, 0.25]),
    "abs": (abs(close), [1, 2, 3, 4, N, 5, N, 0, 0.25]),
    "sign": (sign(close), [1, 1, 1, -1, N, 1, N, 0, -1]),
    "log": (log(close), [0, math.log(2), math.log(3), N, N, math.log(5), N, N, N]),
    "exp": (exp(close), [*map(math.exp, [1, 2, 3, -4]), N, math.exp(5), N, 1, math.exp(-0.25)]),
    "exp of a large number": (exp(close * 1000), [N, N, N, 0, N, N, N, 1, math.exp(-250)]),
    "sqrt": (sqrt(close), [1, 2**0.5, 3**0.5, N, N, 5**0.5, N, 0, N]),
    "atan": (atan(close), [*map(math.atan, [1, 2, 3, -4]), N, math.atan(5), N, 0, math.atan(-0.25)]),
    "minimum": (minimum(close, open_), [1, 2, 1, -4, N, N, N, 0, -0.25]),
    "maximum": (maximum(close, open_), [2, 2, 3, 4, N, N, N, 0, 2]),
    "lt": (flag(close < open_), [1, 0, 0, 1, N, N, N, 0, 1]),
    "gt": (flag(close > open_), [0, 0, 1, 0, N, N, N, 0, 0]),
    "le": (flag(close <= open_), [1, 1, 0, 1, N, N, N, 1, 1]),
    "ge": (flag(close >= open_), [0, 1, 1, 0, N, N, N, 1, 0]),
    "eq": (flag(close.equals(open_)), [0, 1, 0, 0, N, N, N, 1, 0]),
    "not": (flag(~(close < open_)), [0, 1, 1, 0, N, N, N, 1, 0]),
    "and": (flag((close < 3) & (open_ > 1)), [1, 1, 0, 1, 0, 0, N, 0, 1]),
    "or": (flag((close < 3) | (open_ > 1)), [1, 1, 0, 1, N, N, N, 1, 1]),
    "or that one side decides": (flag((close > 3) | (open_ > 0)), [1, 1, 1, 1, 1, 1, N, 0, 1]),
    "where": (where(close < 3, close, open_), [1, 2, 1, -4, N, N, N, 0, -0.25]),
    "is_null": (flag(is_null(close)), [0, 0, 0, 0, 1, 0, 1, 0, 0]),
    "fill_null": (fill_null(close, open_), [1, 2, 3, -4, 1, 5, N, 0, -0.25]),
}


@pytest.mark.parametrize("engine", ["numba", "polars"])
@pytest.mark.parametrize("name", CASES)
def test_by_hand(name: str, engine: str) -> None:
    expr, expected = CASES[name]
    bars = one_series(LEFT).with_columns(pl.Series("open", RIGHT, pl.Float64))
    got = compute(bars, set_of(x=expr), bars_per_year=YEAR, engine=engine).frame["x"]  # type: ignore[arg-type]
    for k, (have, want) in enumerate(zip(got.to_list(), expected, strict=True)):
        assert have == (None if want is None else pytest.approx(want, rel=1e-15)), f"row {k}"


def test_both_engines_know_every_operator() -> None:
    composed = {"rolling_mean", "rolling_std"}
    known = {name for name, row in OPERATORS.items() if row.kind != "leaf"}
    assert set(_LOWERINGS) | set(BRUTE_FORCE) | {"sample", "hold"} == known
    crossing = {name for name, row in OPERATORS.items() if row.kind == "cross"}
    steps = {_FUSED.get(name, name) for name in known - composed - crossing}
    assert set(_FAMILIES) == steps | {"known"} == set(codes.CODES) - {"copy", "load", "save", "turn"}
    assert steps | {"known"} == set(_ELEMENTWISE) | set(_STATEFUL)
    assert set(cross_section._OPERATORS) == crossing - {"apply"}
