"""How alike trials are, against NumPy's correlation."""

from __future__ import annotations

import numpy as np
import pytest

from nofx_pipelines.search.similarity import mean_correlations


def test_it_is_the_mean_correlation_with_the_others() -> None:
    rng = np.random.default_rng(3)
    common = rng.normal(size=40)
    series = {number: (common + rng.normal(size=40)).tolist() for number in (0, 2, 5, 6)}
    correlation = np.corrcoef(list(series.values()))
    expected = (correlation.sum(axis=1) - 1) / 3
    assert list(mean_correlations(series)) == [0, 2, 5, 6]
    assert list(mean_correlations(series).values()) == pytest.approx(expected.tolist())


def test_one_trial_resembles_none_and_a_constant_one_nobody() -> None:
    assert mean_correlations({4: [1.0, 2.0]}) == {}
    assert mean_correlations({0: [1.0, 1.0, 1.0], 1: [1.0, 2.0, 4.0]}) == {0: 0.0, 1: 0.0}
