"""The trend follower by hand."""

from __future__ import annotations

import pytest
import torch

from nofx_pipelines.marl.roles.trend_follower import TrendFollower
from tests.marl.worlds import outcome, view

ROLE = TrendFollower()


def test_rising_is_sized_by_inverse_volatility() -> None:
    seen = view(momentum_20=[[1.0, 2.0, -1.0]], sigma=torch.tensor([0.01, 0.03, 0.01]))
    target = ROLE.decide(seen, 1, torch.tensor([3])).target
    assert target is not None
    torch.testing.assert_close(target, torch.tensor([[0.75, 0.25, 0.0]], dtype=torch.float64))


def test_what_falls_is_not_bought() -> None:
    mask = ROLE.mask(view(momentum_20=[[-1.0, -2.0, -3.0]]), 1)
    assert mask.tolist() == [[True, False, False, False, False, False]]


@pytest.mark.parametrize(("index", "action"), [(1.0, 3), (-1.0, 1)])
def test_the_rule_is_in_while_the_index_rises(index: float, action: int) -> None:
    seen = view(momentum_20=[[1.0, 1.0, 1.0]], index_momentum=index, weights=0.1)
    assert ROLE.baseline(seen, 1).item() == action


def test_the_reward_is_the_own_return() -> None:
    assert ROLE.reward(outcome(own=torch.arange(8.0), index=5.0), 1).item() == 1.0
