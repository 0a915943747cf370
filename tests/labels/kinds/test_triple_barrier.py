from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.labels.kinds import LabelBars
from nofx_pipelines.labels.kinds.triple_barrier import LABEL, first_touch
from tests.labels.strategies import paths


def touches(
    close: NDArray[np.float64], width: NDArray[np.float64], horizon: int
) -> tuple[list[int], list[int]]:
    """Side and bars of each bar of a path that ``horizon`` further ones follow."""
    ahead = LabelBars.of(LabelConfig(horizon=horizon), close=close).ahead("close")
    side, bars = first_touch(ahead, width[: len(ahead)])
    return side.tolist(), bars.tolist()


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
    # 0 -> .12 after 2; .02 -> .12 touches in 1; .12 -> 0 in 1; 0 -> -.2 in 1; -.2 stays
    assert touches(close, np.full(7, 0.1), 2) == ([1, 1, -1, -1, 0], [2, 1, 1, 1, 2])


def test_a_close_exactly_on_the_barrier_touches() -> None:
    close = np.array([100.0, 110.0, 100.0])
    assert touches(close, np.full(3, np.log(110.0 / 100.0)), 2) == ([1], [1])


def test_the_first_of_two_touches_counts() -> None:
    assert touches(np.array([100.0, 80.0, 200.0]), np.full(3, 0.1), 2) == ([-1], [1])


@pytest.mark.parametrize("width", [np.nan, 0.0, -1.0])
def test_no_width_no_side(width: float) -> None:
    assert touches(np.array([100.0, 80.0, 200.0]), np.full(3, width), 1) == ([0, 0], [0, 0])


@settings(deadline=None)
@given(paths(min_size=2), st.integers(1, 10), st.floats(1e-3, 1.0))
@example(path=[100.0, 110.0, 90.0, 110.0], horizon=3, width=0.09)
def test_equals_a_bar_by_bar_search(path: list[float], horizon: int, width: float) -> None:
    side, bars = touches(np.array(path), np.full(len(path), width), horizon)
    assert len(side) == max(0, len(path) - horizon)
    for t, answer in enumerate(zip(side, bars, strict=True)):
        assert answer == _first_touch(path[t:], width, horizon)


def test_the_width_is_sigma_times_the_root_of_the_horizon() -> None:
    config = LabelConfig(horizon=2, sigma_bars=2, barrier_sigmas=1.5)
    # sigma at bar 2: stdev(.1, -.1) = .1414, width .3; at bar 3: stdev(-.1, .1), the same
    close = np.exp(np.array([0.0, 0.1, 0.0, 0.1, 0.31, 0.2]))
    labelled = LABEL.label(LabelBars.of(config, close=close), config)
    assert labelled.value.tolist() == pytest.approx([0.0, 0.0, 0.31, 0.1])
    assert labelled.side is not None
    assert labelled.touch is not None
    assert labelled.side.tolist() == [0, 0, 1, 0]
    assert labelled.touch.tolist() == [0, 0, 2, 2]
