"""The risk manager by hand."""

from __future__ import annotations

import pytest
import torch

from nofx_pipelines.marl.roles.risk_manager import RiskManager
from tests.marl.worlds import outcome, view

ROLE = RiskManager()


def test_no_higher_cap_in_a_deep_drawdown() -> None:
    assert ROLE.mask(view(cap=0.3), 7)[0].tolist() == [True, True, True, False, False]
    assert ROLE.mask(view(cap=0.3, team_drawdown=0.2), 7)[0].tolist() == [True, False, False, False, True]


@pytest.mark.parametrize(("action", "cap"), [(1, 1.0), (2, 0.6), (3, 0.3), (4, 0.0)])
def test_an_action_is_a_cap(action: int, cap: float) -> None:
    assert ROLE.decide(view(), 7, torch.tensor([action])).cap == pytest.approx(cap)


def test_the_rule_brakes_when_it_swings_and_near_stops_when_it_falls() -> None:
    swing = torch.tensor([0.03, -0.03] * 10)
    assert ROLE.baseline(view(cap=0.3), 7).item() == 1
    assert ROLE.baseline(view(team_recent=swing), 7).item() == 2
    assert ROLE.baseline(view(team_drawdown=0.2), 7).item() == 3


def test_deeper_drawdowns_are_fined() -> None:
    assert ROLE.reward(outcome(team=-1.0, deeper=0.5, drawdown=9.0), 7).item() == -1.5
    assert ROLE.reward(outcome(team=-1.0, deeper=0.5, drawdown=5.2), 7).item() == pytest.approx(-1.2)
    assert ROLE.reward(outcome(team=-1.0, deeper=0.5, drawdown=4.0), 7).item() == -1.0
