"""Mean reversion by hand."""

from __future__ import annotations

import torch

from nofx_pipelines.marl.roles.mean_reversion import MeanReversion
from tests.marl.worlds import outcome, view

ROLE = MeanReversion()


def test_it_buys_what_is_far_below_its_mean_a_third_each() -> None:
    seen = view(reversal=[[-1.5, -2.5, 0.5]])
    for action, weights in ((2, [1 / 3, 1 / 3, 0.0]), (3, [0.0, 1 / 3, 0.0])):
        target = ROLE.decide(seen, 2, torch.tensor([action])).target
        assert target is not None
        torch.testing.assert_close(target, torch.tensor([weights], dtype=torch.float64))


def test_it_sells_what_has_recovered_and_keeps_the_rest() -> None:
    seen = view(reversal=[[-1.0, 0.2, 0.0]], weights=0.2)
    target = ROLE.decide(seen, 2, torch.tensor([5])).target
    assert target is not None
    assert target.nan_to_num(9.0).tolist() == [[9.0, 0.0, 0.0]]
    assert ROLE.baseline(seen, 2).item() == 5


def test_rising_with_the_market_earns_nothing() -> None:
    weights = torch.zeros(1, 8, 3)
    weights[:, 2] = torch.tensor([0.2, 0.3, 0.0])
    assert ROLE.reward(outcome(own=1.0, index=2.0, weights=weights), 2).abs().item() < 1e-7
