"""The portfolio manager by hand."""

from __future__ import annotations

import torch

from nofx_pipelines.marl.roles.portfolio_manager import PortfolioManager
from tests.marl.worlds import outcome, view

ROLE = PortfolioManager()


def test_winners_get_everything_and_the_rest_little() -> None:
    recent = torch.zeros(1, 8, 20)
    recent[0, :, 0] = torch.tensor([0.1, 0.2, 0.3, -0.1, -0.2, -0.3, 0.0, 0.0])
    budget = ROLE.decide(view(recent=recent, age=5), 6, torch.tensor([3])).budget
    assert budget is not None
    assert budget[0, :6].tolist() == [1.0, 1.0, 1.0, 0.3, 0.3, 0.3]


def test_the_steadiest_trader_gets_everything() -> None:
    recent = torch.zeros(1, 8, 20)
    recent[0, :6, 0] = torch.tensor([0.5, 0.01, 0.1, 0.2, 0.3, 0.4])
    budget = ROLE.decide(view(recent=recent, age=5), 6, torch.tensor([4])).budget
    assert budget is not None
    assert budget[0, :6].argmax().item() == 1
    assert budget.max().item() == 1.0
    assert budget[0, 0].item() == 0.3


def test_budgets_change_once_a_week() -> None:
    legal = [ROLE.mask(view(age=age), 6)[0].sum().item() for age in (0, 1, 4, 5, 10)]
    assert legal == [3, 1, 1, 5, 5]


def test_it_is_paid_by_the_team() -> None:
    assert ROLE.reward(outcome(own=9.0, team=2.0), 6).item() == 2.0
