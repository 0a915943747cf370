"""Shapley values against all orders of arrival, the axioms, and a team of known parts."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch

from nofx_pipelines.marl.credit import coalitions, credit, shapley
from nofx_pipelines.marl.trading import Draw
from tests.marl.worlds import F64, ROLES, SCENARIO, panel, trading_floor


def test_it_is_the_mean_over_all_orders_of_arrival() -> None:
    torch.manual_seed(1)
    values = torch.rand(2**5, dtype=F64)
    expected = torch.zeros(5, dtype=F64)
    for order in permutations(range(5)):
        have = 0
        for agent in order:
            expected[agent] += values[have | (1 << agent)] - values[have]
            have |= 1 << agent
    torch.testing.assert_close(shapley(values), expected / 120, rtol=1e-12, atol=1e-14)


def test_the_axioms_hold_for_eight() -> None:
    torch.manual_seed(2)
    values = torch.rand(2**8, dtype=F64)
    members = coalitions(8)
    dummy = values[torch.arange(256) & ~4]  # the third changes nothing
    found = shapley(dummy)
    assert found[2].item() == pytest.approx(0.0, abs=1e-12)
    assert found.sum().item() == pytest.approx((dummy[-1] - dummy[0]).item(), rel=1e-12)
    twins = members[:, :2].sum(1).to(F64) + members[:, 5].to(F64) * 3  # the first two are alike
    assert shapley(twins)[:2].tolist() == pytest.approx([1.0, 1.0])
    assert shapley(values + twins).tolist() == pytest.approx((shapley(values) + shapley(twins)).tolist())


class Fixed:
    """Everyone holds but the sentiment analyst, who takes the lowest legal purchase."""

    def act(
        self, observation: torch.Tensor, mask: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        action = torch.zeros(mask.shape[:2], dtype=torch.int64)
        buys = mask[:, 5, 2:].float().argmax(1) + 2
        action[:, 5] = torch.where(mask[:, 5, 2:].any(1), buys, 0)
        return action


def test_only_the_one_who_acts_is_credited() -> None:
    world, pick = panel(), [0, 1, 2]
    found = credit(world, Fixed(), 100, pick, 30, SCENARIO)
    floor = trading_floor(
        world, n_envs=1, length=30, span=(0, 0), draw=Draw(torch.tensor([100]), torch.tensor([pick]))
    )
    step = floor.reset(torch.Generator())
    for _ in range(30):
        step = floor.step(Fixed().act(step.observation, step.action_mask))
    earned = (floor.equity.sum() / 6e6).log().item()
    assert earned != 0
    assert found.everyone == pytest.approx(earned, rel=1e-9)
    expected = [earned if role.name == "sentiment_analyst" else 0.0 for role in ROLES]
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.alone == pytest.approx(expected, abs=1e-12)
