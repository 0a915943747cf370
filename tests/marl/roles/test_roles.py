"""No two roles are alike in what they see, may do, want or are paid for; each keeps the contract."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from nofx_pipelines.marl.roles.role import HOLD, Decision, Outcome, Role, View, top_third
from tests.marl.worlds import F64, ROLES, outcome, panel, view

PAIRS = list(combinations(ROLES, 2))
_NAMES = [f"{a.name}-{b.name}" for a, b in PAIRS]


def many_views() -> View:
    """Two hundred closes with everything random: the same for every role, as if it stood at place 0."""
    torch.manual_seed(5)
    e, n = 200, 4
    seen = view(e, 8, n)
    weights = torch.rand(e, 8, n, dtype=F64) * (torch.rand(e, 8, 1) < 0.7) / 4
    changed = {
        "features": torch.randn_like(seen.features) * 1.5,
        "indicators": torch.randn_like(seen.indicators),
        "weights": weights,
        "sellable": weights * (torch.rand(e, 8, n) < 0.8),
        "sigma": 0.01 + 0.03 * torch.rand(e, n, dtype=F64),
        "recent": torch.randn(e, 8, 20, dtype=F64) / 100,
        "team_recent": torch.randn(e, 20, dtype=F64) / 100,
        "drawdown": torch.rand(e, 8, dtype=F64) / 5,
        "team_drawdown": torch.rand(e, dtype=F64) / 5,
        "team_weights": weights.mean(1),
        "cap": torch.tensor([1.0, 0.6, 0.3, 0.0], dtype=F64)[torch.randint(4, (e,))],
        "age": torch.randint(0, 60, (e,)),
    }
    return View(**vars(seen) | changed)


def many_outcomes() -> Outcome:
    torch.manual_seed(6)
    quiet = vars(outcome(200, 8, 4))
    drawn = {name: torch.rand_like(value) for name, value in quiet.items()}
    return Outcome(**drawn | {"drawdown": drawn["drawdown"] * 20})  # percent, some beyond what is tolerated


def wants(role: Role, seen: View) -> torch.Tensor:
    """What the rule asks for, as one vector a close: target, quotes, budgets, cap."""
    decision: Decision = role.decide(seen, 0, role.baseline(seen, 0))
    e, n = seen.price.shape
    none = torch.full((e, n), 7.0, dtype=F64)
    target = none if decision.target is None else decision.target.nan_to_num(9.0)
    bid = none if decision.quotes is None else decision.quotes.bid
    budget = none[:, :1].expand(e, 8) if decision.budget is None else decision.budget.nan_to_num(9.0)
    cap = none[:, :1] if decision.cap is None else decision.cap.nan_to_num(9.0)[:, None]
    return torch.cat([target, bid, budget, cap], dim=1)


@pytest.mark.parametrize(("a", "b"), PAIRS, ids=_NAMES)
def test_no_two_roles_are_alike(a: Role, b: Role) -> None:
    seen, brought = many_views(), many_outcomes()
    assert a.name != b.name
    assert not _same(a.observe(seen, 0), b.observe(seen, 0))
    assert not _same(a.mask(seen, 0), b.mask(seen, 0))
    assert not _same(a.reward(brought, 0), b.reward(brought, 0))
    assert not _same(wants(a, seen), wants(b, seen))


def _same(x: torch.Tensor, y: torch.Tensor) -> bool:
    return x.shape == y.shape and torch.equal(x, y)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_hold_is_always_legal_and_the_only_way_of_the_ruined(role: Role) -> None:
    seen = many_views()
    mask = role.mask(seen, 0)
    assert mask.shape == (200, len(role.actions))
    assert role.actions[HOLD] == "hold"
    assert mask[:, HOLD].all()
    shorts = View(**vars(seen) | {"shortable": torch.ones(4, dtype=torch.bool)})
    assert (mask | role.mask(shorts, 0)).any(0).all(), "an action that is never legal"
    ruined = role.mask(View(**vars(seen) | {"ruined": torch.ones(200, 8, dtype=torch.bool)}), 0)
    assert ruined.sum().item() == 200


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_hold_asks_for_nothing(role: Role) -> None:
    seen = many_views()
    decision = role.decide(seen, 0, torch.zeros(200, dtype=torch.int64))
    if decision.target is not None:
        assert decision.target.isnan().all()
    if decision.quotes is not None:
        assert not decision.quotes.bid.any()
        assert not decision.quotes.ask.any()
    for limit in (decision.budget, decision.cap):
        assert limit is None or limit.isnan().all()


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_rule_is_legal_and_uses_more_than_one_action(role: Role) -> None:
    seen = many_views()
    action = role.baseline(seen, 0)
    assert role.mask(seen, 0).gather(1, action[:, None]).all()
    assert len(action.unique()) > 1


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_targets_are_weights(role: Role) -> None:
    seen = many_views()
    for action in range(len(role.actions)):
        target = role.decide(seen, 0, torch.full((200,), action)).target
        if target is not None:
            assert (target.nan_to_num(0.0).abs().sum(-1) <= 1 + 1e-9).all()
            assert (target.nan_to_num(0.0) >= 0).all(), "a short where none is allowed"


def test_a_third_is_rounded_up_and_ties_go_to_the_first() -> None:
    assert top_third(torch.zeros(1, 4)).tolist() == [[True, True, False, False]]


def test_observations_have_one_width_whatever_the_world() -> None:
    assert panel().features.isfinite().all()
    for role in ROLES:
        assert role.observe(view(2), 0).shape == role.observe(many_views_of(3), 0)[:2].shape


def many_views_of(n: int) -> View:
    return view(5, 8, n)
