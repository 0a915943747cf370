"""The sentiment analyst by hand."""

from __future__ import annotations

import pytest
import torch

from nofx_pipelines.marl.roles.sentiment_analyst import SentimentAnalyst
from tests.marl.worlds import outcome, view

ROLE = SentimentAnalyst()


@pytest.mark.parametrize(("action", "chosen"), [(2, 0), (3, 1), (4, 2)])
def test_it_tells_loud_winners_loud_losers_and_the_quiet(action: int, chosen: int) -> None:
    seen = view(volume_surprise=[[1.0, 1.0, -1.0]], return_1=[[1.0, -1.0, 0.5]])
    target = ROLE.decide(seen, 5, torch.tensor([action])).target
    assert target is not None
    assert target.argmax().item() == chosen
    assert target.sum().item() == 1.0


@pytest.mark.parametrize(("breadth", "action"), [(0.5, 2), (-0.5, 1), (0.0, 0)])
def test_the_rule_follows_a_good_mood_and_leaves_a_bad_one(breadth: float, action: int) -> None:
    seen = view(volume_surprise=1.0, return_1=1.0, breadth=breadth, weights=0.1)
    assert ROLE.baseline(seen, 5).item() == action


def test_being_out_while_the_market_falls_pays() -> None:
    assert ROLE.reward(outcome(index=-2.0), 5).item() == 2.0
