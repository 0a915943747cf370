"""The hedger by hand."""

from __future__ import annotations

import pytest
import torch

from nofx_pipelines.marl.roles.hedger import Hedger
from tests.marl.worlds import outcome, view

ROLE = Hedger()


def test_it_is_paid_for_what_it_takes_off_the_team_s_square() -> None:
    # the team lost 2 %, of which the own gain of 4 % on a quarter of the equity took off 1 %
    got = ROLE.reward(outcome(own=4.0, team=-2.0, share=0.25), 4)
    assert got.item() == pytest.approx(4.0 + 0.5 * (9.0 - 4.0))
    worse = ROLE.reward(outcome(own=-4.0, team=-2.0, share=0.25), 4)
    assert worse.item() == pytest.approx(-4.0 + 0.5 * (1.0 - 4.0))


def test_it_is_defensive_while_the_index_falls() -> None:
    seen = view(index_momentum=-1.0, beta=[[1.5, 0.4, 1.0]])
    assert ROLE.baseline(seen, 4).item() == 2
    target = ROLE.decide(seen, 4, torch.tensor([2])).target
    assert target is not None
    assert target.tolist() == [[0.0, 1.0, 0.0]]
    assert ROLE.baseline(view(index_momentum=1.0, weights=0.1), 4).item() == 1


def test_a_short_needs_a_market_that_allows_it_and_a_team_to_hedge() -> None:
    assert not ROLE.mask(view(team_weights=0.2), 4)[0, 5]
    assert not ROLE.mask(view(shortable=True), 4)[0, 5]
    seen = view(team_weights=0.2, shortable=True)
    assert ROLE.mask(seen, 4)[0, 5]
    target = ROLE.decide(seen, 4, torch.tensor([5])).target
    assert target is not None
    assert target.sum().item() == pytest.approx(-0.5)
