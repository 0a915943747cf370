"""Rows of groups by value, against NumPy's sort and the definition of a place."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.features.execution.group_codes import by_value, places

cells = st.lists(
    st.tuples(st.integers(0, 4), st.one_of(st.just(float("nan")), st.integers(-3, 3).map(float))), max_size=40
)


def grouped(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(groups, kind="stable")
    bounds = np.searchsorted(groups[order], np.append(np.unique(groups), 99))
    return order, bounds.astype(np.int64)


@settings(deadline=None)
@given(cells)
def test_rows_come_group_by_group_and_by_value(rows: list[tuple[int, float]]) -> None:
    groups = np.array([g for g, _ in rows], np.int64)
    values = np.array([v for _, v in rows], np.float64)
    found, number, sizes = by_value(values, *grouped(groups))
    valid = np.flatnonzero(~np.isnan(values))
    wanted = valid[np.lexsort((values[valid], groups[valid]))]
    assert values[found].tolist() == values[wanted].tolist()
    assert groups[found].tolist() == groups[wanted].tolist()
    assert sorted(found.tolist()) == valid.tolist()
    assert number.tolist() == np.unique(groups[wanted], return_inverse=True)[1].tolist()
    assert sizes.tolist() == np.unique(groups[valid], return_counts=True)[1].tolist()


@settings(deadline=None)
@given(cells)
def test_a_place_counts_those_below_and_half_of_the_equals(rows: list[tuple[int, float]]) -> None:
    groups = np.array([g for g, _ in rows], np.int64)
    values = np.array([v for _, v in rows], np.float64)
    found, position, size = places(values, *grouped(groups), 0.0)
    for row, place, peers in zip(found, position, size, strict=True):
        own = values[(groups == groups[row]) & ~np.isnan(values)]
        assert peers == len(own)
        assert place == (own < values[row]).sum() + ((own == values[row]).sum() - 1) / 2


def test_the_nearly_equal_are_ties_in_a_chain() -> None:
    values = np.array([1.0, 1.0 + 0.9e-10, 1.0 + 1.8e-10, 2.0, 0.5])
    order, bounds = np.arange(5), np.array([0, 5])
    found, position, _ = places(values, order, bounds, 1e-10)
    assert dict(zip(found.tolist(), position.tolist(), strict=True)) == {
        4: 0.0,
        0: 2.0,
        1: 2.0,
        2: 2.0,
        3: 4.0,
    }
