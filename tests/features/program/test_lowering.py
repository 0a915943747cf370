"""Lowering: the version is other exactly where the computation is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.features import (
    Expr,
    close,
    cumsum,
    delta,
    ema,
    high,
    low,
    maximum,
    rank,
    ref,
    rolling_max,
    rolling_mean,
    rolling_std,
    rolling_sum,
    volume,
    where,
    wilder,
)
from nofx_pipelines.features.program.lowering import kind_of, lower
from nofx_pipelines.features.program.steps import Layout, layout_of
from tests.features.worlds import EVERY, numbers


def version(**exprs: Expr) -> str:
    return lower(exprs).version


def test_the_version_is_pinned() -> None:
    """When this fails, stored features become stale everywhere: meant?"""
    assert version(x=ema(close, 3) / rolling_mean(close, 5)) == "86c43348db8599a9"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (close + high, high + close),
        (close * high + low, low + high * close),
        (delta(close, 2), close - ref(close, 2)),
        (close > high, high < close),
        (close * (2 + 3), close * 5),
        (rolling_mean(close, 5, 5), rolling_mean(close, 5)),
        (rolling_std(close, 5), rolling_std(close, 5, ddof=1)),
    ],
)
def test_the_same_computation_has_the_same_version(left: Expr, right: Expr) -> None:
    numeric = [where(e, 1, 0) if e.dtype == "boolean" else e for e in (left, right)]
    assert version(x=numeric[0]) == version(x=numeric[1])
    assert numeric[0] == numeric[1]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (close - high, high - close),
        (ref(close, 1), ref(close, 2)),
        (ema(close, 5), wilder(close, 5)),
        (ema(close, 5), ema(close, 5, seed_at=6)),
        (rolling_std(close, 5), rolling_std(close, 5, ddof=0)),
        (rolling_mean(close, 5), rolling_mean(close, 5, 4)),
        (rolling_mean(close, 5), rolling_sum(close, 5)),
        (rank(close), rank(close, 6)),
        (close * 2, close * 2.0000000000000004),
        (close, high),
    ],
)
def test_another_computation_has_another_version(left: Expr, right: Expr) -> None:
    assert version(x=left) != version(x=right)
    assert left != right


def test_names_count_and_the_order_of_declaration_does_not() -> None:
    assert version(a=close, b=high) == version(b=high, a=close)
    assert version(a=close, b=high) != version(a=high, b=close)
    assert version(a=close) != version(b=close)


@settings(deadline=None)
@given(st.lists(numbers(), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_declaration_never_counts(exprs: list[Expr], random: object) -> None:
    features = [(f"f{k}", expr) for k, expr in enumerate(exprs)]
    mixed = features.copy()
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert lower(dict(features)).text == lower(dict(mixed)).text


def test_shared_parts_are_computed_once() -> None:
    program = lower({"a": rolling_mean(close, 5) + 1, "b": rolling_std(close, 5) - rolling_mean(close, 5)})
    ops = [i.op for i in program.instructions]
    assert [ops.count(op) for op in ("rolling_count", "rolling_sum", "rolling_var", "column")] == [1, 1, 1, 1]


def test_operands_come_before_what_uses_them_and_slots_do_not_overlap() -> None:
    program = EVERY.program
    taken: set[int] = set()
    for k, i in enumerate(program.instructions):
        assert i.dst == k
        assert all(arg < k for arg in i.args)
    layout = layout_of(program)
    made = {i.dst for i in program.instructions if kind_of(i.op) in ("leaf", "cross")}
    for step in layout.steps:
        assert set(step.args) <= made
        made |= {register for register, _ in step.outs}
        slots = set(range(step.slot, step.slot + len(step.initial)))
        assert not slots & taken
        taken |= slots
    assert taken == set(range(layout.slots))
    assert len(layout.initial_state) == layout.slots


def test_only_what_bars_cannot_rebuild_is_stored() -> None:
    def layout(expr: Expr) -> Layout:
        return layout_of(lower({"x": expr}))

    assert layout(rolling_std(ref(close, 3), 20) + rolling_max(high, 9)).stored_slots == ()
    assert len(layout(ema(rolling_mean(close, 60), 9)).stored_slots) == 2
    assert len(layout(cumsum(volume)).stored_slots) == 2
    over_recursion = layout(rolling_sum(ema(close, 5), 4))
    assert len(over_recursion.stored_slots) == over_recursion.slots
    over_rank = layout(ref(rank(close), 4))
    assert len(over_rank.stored_slots) == over_rank.slots == 5


def test_stages_count_the_cross_sections_below() -> None:
    assert lower({"x": close}).stages == 1
    assert lower({"x": rank(close)}).stages == 1
    assert lower({"x": rank(close) + 1}).stages == 2
    assert lower({"x": maximum(ref(rank(ref(rank(close), 1)), 2), close)}).stages == 3


def test_columns_lookback_and_outputs() -> None:
    program = lower({"b": rolling_max(high - ref(low, 3), 9), "a": close})
    assert sorted(program.columns) == ["close", "high", "low"]
    assert program.lookback == 11
    assert [name for name, _ in program.outputs] == ["a", "b"]
