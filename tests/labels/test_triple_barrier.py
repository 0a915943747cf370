from __future__ import annotations

import math
import statistics
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nofx_pipelines.labels.triple_barrier import trailing_sigma, triple_barrier

from .strategies import paths


def _first_touch(path: list[float], width: float, horizon: int) -> tuple[int, int]:
    """Side and bars from the first close of ``path``, one bar at a time."""
    for step in range(1, horizon + 1):
        log_return = float(np.log(path[step] / path[0]))
        if log_return >= width:
            return 1, step
        if log_return <= -width:
            return -1, step
    return 0, horizon


def test_upper_lower_and_timeout_by_hand() -> None:
    close = np.exp(np.array([0.0, 0.02, 0.12, 0.0, -0.2, -0.21, -0.19]))
    side, bars = triple_barrier(close, np.full(7, 0.1), 2)
    # 0 -> .12 after 2; .02 -> .12 touches in 1; .12 -> 0 in 1; 0 -> -.2 in 1; -.2 stays
    assert side.tolist() == [1, 1, -1, -1, 0, 0, 0]
    assert bars.tolist() == [2, 1, 1, 1, 2, 0, 0]


def test_a_close_exactly_on_the_barrier_touches() -> None:
    close = np.array([100.0, 110.0, 100.0])
    side, bars = triple_barrier(close, np.full(3, np.log(110.0 / 100.0)), 2)
    assert (side[0], bars[0]) == (1, 1)


def test_the_first_of_two_touches_counts() -> None:
    side, bars = triple_barrier(np.array([100.0, 80.0, 200.0]), np.full(3, 0.1), 2)
    assert (side[0], bars[0]) == (-1, 1)


@pytest.mark.parametrize("width", [np.nan, 0.0, -1.0])
def test_no_width_no_label(width: float) -> None:
    side, bars = triple_barrier(np.array([100.0, 80.0, 200.0]), np.full(3, width), 1)
    assert side.tolist() == [0, 0, 0]
    assert bars.tolist() == [0, 0, 0]


@settings(deadline=None)
@given(paths(min_size=2), st.integers(1, 10), st.floats(1e-3, 1.0))
@example(path=[100.0, 110.0, 90.0, 110.0], horizon=3, width=0.09)
def test_equals_a_bar_by_bar_search(path: list[float], horizon: int, width: float) -> None:
    side, bars = triple_barrier(np.array(path), np.full(len(path), width), horizon)
    for t in range(len(path)):
        if t + horizon < len(path):
            assert (side[t], bars[t]) == _first_touch(path[t:], width, horizon)
        else:
            assert (side[t], bars[t]) == (0, 0)


@settings(deadline=None)
@given(paths(min_size=3, max_size=60), st.integers(2, 10))
def test_sigma_equals_the_sample_standard_deviation(path: list[float], window: int) -> None:
    found = trailing_sigma(np.array(path), window)
    returns = [math.log(b / a) for a, b in pairwise(path)]
    for t in range(len(path)):
        if t < window:
            assert math.isnan(found[t])
        else:
            expected = statistics.stdev(returns[t - window : t])
            assert math.isclose(found[t], expected, rel_tol=1e-9, abs_tol=1e-12)


@settings(deadline=None)
@given(paths(min_size=12, max_size=80), st.data())
def test_sigma_does_not_depend_on_where_history_starts(path: list[float], data: st.DataObject) -> None:
    whole = trailing_sigma(np.array(path), 5)
    first = data.draw(st.integers(0, len(path) - 6))
    part = trailing_sigma(np.array(path[first:]), 5)
    assert part[5:].tobytes() == whole[first + 5 :].tobytes()
