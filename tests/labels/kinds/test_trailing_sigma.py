from __future__ import annotations

import math
import statistics
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.labels.kinds.trailing_sigma import trailing_sigma
from tests.labels.strategies import paths


@settings(deadline=None)
@given(paths(min_size=3, max_size=60), st.integers(2, 10))
def test_sigma_equals_the_sample_standard_deviation(path: list[float], window: int) -> None:
    sigma = trailing_sigma(np.array(path), window)
    returns = [math.log(b / a) for a, b in pairwise(path)]
    for t in range(len(path)):
        if t < window:
            assert math.isnan(sigma[t])
        else:
            expected = statistics.stdev(returns[t - window : t])
            assert math.isclose(sigma[t], expected, rel_tol=1e-9, abs_tol=1e-12)


@settings(deadline=None)
@given(paths(min_size=12, max_size=80), st.data())
def test_sigma_does_not_depend_on_where_history_starts(path: list[float], data: st.DataObject) -> None:
    whole = trailing_sigma(np.array(path), 5)
    first = data.draw(st.integers(0, len(path) - 6))
    part = trailing_sigma(np.array(path[first:]), 5)
    assert part[5:].tobytes() == whole[first + 5 :].tobytes()
