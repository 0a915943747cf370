from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.labels.weights import average_uniqueness, concurrency


def _naive(session: list[int], horizon: int, ahead: int | None) -> list[float]:
    """Average uniqueness from the indicator matrix of López de Prado's snippet 4.3, O(n²)."""
    size = len(session)
    holds = np.zeros((size, size))  # [bar, label]
    for label in range(size):
        for bar in range(label + 1, min(label + horizon, size - 1) + 1):
            holds[bar, label] = ahead is None or session[bar] - session[label] <= ahead
    open_windows = holds.sum(axis=1)
    weights = []
    for label in range(size):
        bars = np.flatnonzero(holds[:, label])
        weights.append(float(np.mean(1 / open_windows[bars])) if bars.size else 1.0)
    return weights


def test_the_interior_weighs_one_over_the_horizon() -> None:
    weights = average_uniqueness(concurrency(50, 5), 5)
    assert weights[5:44] == pytest.approx(0.2)
    assert weights[0] > weights[1] > weights[3] > 0.2


def test_by_hand() -> None:
    # windows {1,2} {2,3} {3}: bars hold 0, 1, 2, 2 of them; the last row has seen nothing
    assert concurrency(4, 2).tolist() == [0, 1, 2, 2]
    assert average_uniqueness(concurrency(4, 2), 2).tolist() == [0.75, 0.5, 0.5, 1.0]


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 9), st.integers(0, 4))
def test_equals_the_indicator_matrix(steps: list[int], horizon: int, ahead: int) -> None:
    session = np.cumsum(steps).astype(np.int64)
    bounded = average_uniqueness(concurrency(session.size, horizon, session, ahead), horizon, session, ahead)
    free = average_uniqueness(concurrency(session.size, horizon), horizon)
    np.testing.assert_allclose(bounded, _naive(session.tolist(), horizon, ahead), rtol=1e-12)
    np.testing.assert_allclose(free, _naive(session.tolist(), horizon, None), rtol=1e-12)


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(1, 8), st.integers(0, 20))
def test_a_settled_weight_does_not_move_when_bars_are_added(size: int, horizon: int, more: int) -> None:
    before = average_uniqueness(concurrency(size, horizon), horizon)
    after = average_uniqueness(concurrency(size + more, horizon), horizon)
    settled = max(0, size - horizon)
    assert before[:settled].tobytes() == after[:settled].tobytes()
