from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from nofx_pipelines.errors import ConfigError
from nofx_pipelines.models.targets import group_ranks, training_target


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3)), min_size=1, max_size=60))
def test_ranks_equal_scipy_group_by_group(pairs):
    groups, values = (np.array(side) for side in zip(*pairs, strict=True))
    found = group_ranks(values.astype(float), groups)
    for group in set(groups.tolist()):
        assert found[groups == group].tolist() == rankdata(values[groups == group]).tolist()


def test_a_rank_target_ignores_the_market_s_move_and_its_volatility():
    rng = np.random.default_rng(0)
    returns, time = rng.normal(size=(40, 10)), np.repeat(np.arange(40), 10)
    names = np.array([f"i{n}" for n in range(10)] * 40)
    moved = returns * rng.uniform(0.1, 9, (40, 1)) + rng.normal(size=(40, 1))
    first, second = (training_target(v.ravel(), time, names, "rank") for v in (returns, moved))
    assert (first == second).all()
    assert abs(first.mean()) < 1e-12
    assert first.std() == pytest.approx(1.0, abs=0.01)


def test_below_five_instruments_the_sign_of_the_return_is_kept():
    returns = np.array([0.01, -0.02, 0.03, -5.0])
    found = training_target(returns, np.arange(4), np.array(["btc"] * 4), "rank")
    assert (np.sign(found) == np.sign(returns)).all()
    assert np.abs(found).max() <= 4


def test_an_unknown_target_is_named():
    with pytest.raises(ConfigError, match="'median' is not one of rank, return"):
        training_target(np.ones(1), np.zeros(1, int), np.array(["a"]), "median")
