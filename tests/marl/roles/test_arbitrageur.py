"""The arbitrageur by hand."""

from __future__ import annotations

import pytest
import torch

from nofx_pipelines.marl.roles.arbitrageur import Arbitrageur
from tests.marl.worlds import outcome, view

ROLE = Arbitrageur()


@pytest.mark.parametrize(("short", "weights"), [(False, [0.5, 0.0, 0.0]), (True, [0.5, 0.0, -0.5])])
def test_it_buys_the_cheap_leg_and_sells_the_rich_one_where_it_may(short: bool, weights: list[float]) -> None:
    seen = view(relative=[[-1.5, 0.1, 1.5]], shortable=short)
    target = ROLE.decide(seen, 3, torch.tensor([2])).target
    assert target is not None
    assert target.tolist() == [weights]
    assert ROLE.baseline(seen, 3).item() == 2


def test_one_instrument_has_no_pair() -> None:
    assert ROLE.mask(view(n=1, relative=[[4.0]]), 3).tolist() == [[True, False, False, False, False]]


def test_it_leaves_when_the_leg_is_back() -> None:
    seen = view(relative=[[0.1, 2.0, -2.0]], weights=torch.tensor([0.5, 0.0, 0.0]))
    assert ROLE.baseline(seen, 3).item() == 4
    target = ROLE.decide(seen, 3, torch.tensor([4])).target
    assert target is not None
    assert target.nan_to_num(9.0).tolist() == [[0.0, 9.0, 9.0]]


def test_beta_is_not_paid() -> None:
    got = ROLE.reward(outcome(own=3.0, index=2.0, weights=0.5, betas=torch.tensor([1.0, 0.5, 0.5])), 3)
    assert got.item() == pytest.approx(3.0 - 2.0)
