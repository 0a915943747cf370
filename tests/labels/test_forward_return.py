from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.labels.forward_return import forward_return

from .strategies import paths


def test_three_bars_by_hand() -> None:
    found = forward_return(np.array([100.0, 50.0, 200.0, 100.0]), 2)
    assert found[:2].tolist() == [math.log(2), math.log(2)]
    assert np.isnan(found[2:]).all()


def test_a_path_no_longer_than_the_horizon_has_no_return() -> None:
    assert np.isnan(forward_return(np.array([100.0, 101.0]), 2)).all()


@settings(deadline=None)
@given(paths(), st.integers(1, 12))
def test_equals_a_loop(path: list[float], horizon: int) -> None:
    found = forward_return(np.array(path), horizon)
    for t, close in enumerate(path):
        if t + horizon < len(path):
            assert math.isclose(found[t], math.log(path[t + horizon] / close), rel_tol=1e-14, abs_tol=1e-16)
        else:
            assert math.isnan(found[t])


@settings(deadline=None)
@given(paths(min_size=3, max_size=200), st.integers(1, 2), st.data())
def test_a_slice_of_the_path_gives_the_same_bits(
    path: list[float], horizon: int, data: st.DataObject
) -> None:
    whole = forward_return(np.array(path), horizon)
    first = data.draw(st.integers(0, len(path) - horizon - 1))
    part = forward_return(np.array(path[first : first + horizon + 1]), horizon)
    assert part[0].tobytes() == whole[first].tobytes()
