"""The algebra: what expressions are, how they are written, what they refuse."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings

from nofx_pipelines import features as words
from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import (
    Expr,
    age,
    clip,
    close,
    ema,
    ewm,
    fill_null,
    high,
    low,
    rank,
    ref,
    rolling_count,
    rolling_mean,
    rolling_std,
    volume,
    where,
    wilder,
)
from nofx_pipelines.features.algebra.expr import as_expr, column, parameter, walk
from tests.features.worlds import EVERY, numbers

VOCABULARY = {name: getattr(words, name) for name in words.__all__ if name[0].islower()}


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        ((close - ref(close, 1)) / ref(close, 1), "(close - ref(close, 1)) / ref(close, 1)"),
        (close - (high - low) - 1, "close - (high - low) - 1"),
        (-((close**2) ** 0.5), "-(close ** 2) ** 0.5"),
        ((close > low) & ~(high <= 2), "(low < close) & ~(high <= 2)"),
        (ema(close, 12, seed_at=26) - wilder(close, 14), "ema(close, 12, seed_at=26) - wilder(close, 14)"),
        (ewm(close, 4, alpha=0.3), "ewm(close, 4, alpha=0.3)"),
        (rolling_std(close, 5, 3, 0), "rolling_std(close, 5, min_valid=3, ddof=0)"),
        (rolling_mean(close, 5), "rolling_mean(close, 5)"),
        (rolling_count(close, 5), "rolling_count(close, 5)"),
        (rank(abs(close), 7), "rank(abs(close), 7)"),
        (where(close.equals(high), 1, -1), "where(close.equals(high), 1, -1)"),
        (fill_null(age(close), -0.5) * -2, "fill_null(age(close), -0.5) * (-2)"),
        (words.open_ * words.bars_per_year, "open_ * bars_per_year"),
    ],
)
def test_written_as_source(expr: Expr, text: str) -> None:
    assert repr(expr) == text


def rebuilt(text: str) -> object:
    """Read source text of the algebra with its own words only."""
    code = compile(text, "<expression>", "eval")
    return eval(code, {"__builtins__": {"abs": abs}}, VOCABULARY)  # noqa: S307 (our own text, in a test)


@settings(deadline=None)
@given(numbers())
def test_source_text_builds_the_same_expression(expr: Expr) -> None:
    assert rebuilt(repr(expr)) == expr


@pytest.mark.parametrize("feature", EVERY.features, ids=lambda f: f.name)
def test_every_operator_is_written_as_it_is_built(feature: words.Feature) -> None:
    assert rebuilt(repr(feature.expr)) == feature.expr


def test_lookback_warm_up_and_dependencies_add_up() -> None:
    expr = ema(rolling_mean(ref(close, 3), 5), 4) + rolling_std(high - low, 20, min_valid=2)
    assert (expr.lookback, expr.warm_up, expr.recursive) == (19, 10, True)
    assert expr.dependencies == ("close", "high", "low")
    assert (rank(expr).stage, ref(rank(expr), 1).stage) == (1, 1)
    assert fill_null(ref(close, 9), 0).warm_up == 0


def test_a_shared_part_is_walked_once_and_sharing_costs_nothing() -> None:
    expr = close
    for _ in range(200):
        expr = expr + expr
    assert len(list(walk(expr))) == 201
    assert hash(expr) == hash(expr)


def test_expressions_are_immutable_and_hashable() -> None:
    assert {close + 1: "a"}[1 + close] == "a"
    with pytest.raises(AttributeError):
        close.op = "open"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ref(close, -1), "n of ref = -1 is not a whole number from 0"),
        (lambda: rolling_mean(close, 0), "n of rolling_mean = 0"),
        (lambda: rolling_mean(close, 2.0), "n of rolling_mean = 2.0"),
        (lambda: rolling_mean(close, 3, 4), "min_valid = 4 is more than the window of 3"),
        (lambda: ema(close, 0), "n of ewm = 0"),
        (lambda: ema(close, 5, seed_at=4), "seed_at = 4"),
        (lambda: ewm(close, 5, alpha=0), "alpha = 0 is not in"),
        (lambda: rank(close, 1), "min_count = 1"),
        (lambda: column("clsoe"), "column 'clsoe'"),
        (lambda: parameter("pi"), "no parameter 'pi'"),
        (lambda: close + math.inf, "inf is not a finite number"),
        (lambda: as_expr("close"), "'close' is not a finite number"),
        (lambda: (close > 1) + 1, "add takes a number, `1 < close` is a boolean"),
        (lambda: where(close, 1, 2), "where takes a boolean, `close` is a number"),
        (lambda: ~close, "not takes a boolean"),
        (lambda: rolling_mean(close > 1, 3), "rolling_mean takes a number"),
        (lambda: bool(close > 1), "has no truth value"),
        (lambda: 1 < close < 2, "has no truth value"),
        (lambda: Expr("sma", (close,)), "no operator 'sma'"),
        (lambda: Expr("add", (close,)), "add takes 2 operands, got 1"),
    ],
)
def test_what_makes_no_sense_is_refused(build: object, message: str) -> None:
    with pytest.raises(FeatureError, match=message.replace("(", r"\(").replace("`", "`")):
        build()  # type: ignore[operator]


def test_constants_are_folded_and_clip_holds_between_bounds() -> None:
    assert (as_expr(2) * 3 - 1) == as_expr(5)
    assert (as_expr(1) / 0).op == "div"
    assert repr(clip(volume, 0, 1)) == "minimum(maximum(volume, 0), 1)"
