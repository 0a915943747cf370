"""Scenarios by the names in nofx.toml: who decides a training, and teams of other roles from end to end."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.marl.contest import groups_of, run_contest
from nofx_pipelines.marl.credit import credit
from nofx_pipelines.marl.onnx_export import OnnxPolicy, policy_bytes
from nofx_pipelines.marl.scenario import open_scenario
from nofx_pipelines.marl.training import train_team
from tests.marl.roles.test_opening import PLAIN
from tests.marl.worlds import panel, write_member

CUT = 120


def test_the_default_is_eight_roles_on_the_trading_floor() -> None:
    scenario = open_scenario(MarlConfig())
    assert (scenario.task.name, len(scenario.roles)) == ("trading", 8)
    assert [reward.name for reward in scenario.rewards] == ["role"]


@pytest.mark.parametrize(
    "names",
    [
        ("trend_follower",),
        ("market_maker", "portfolio_manager"),
        ("hedger", "risk_manager", "mine:ROLE"),
        ("risk_manager", "mine:ROLE", "portfolio_manager", "arbitrageur"),
    ],
    ids=", ".join,
)
def test_any_team_is_trained_judged_credited_and_exported(names: tuple[str, ...], tmp_path: Path) -> None:
    folder, world = write_member(tmp_path, PLAIN), panel()
    config = MarlConfig(roles=names, iterations=2, envs=4, window=10)
    scenario = open_scenario(config, folder)
    shown = [role.name for role in scenario.roles]
    team = train_team(world, CUT, config, 7, run="r", folder=folder)
    assert list(team.agents) == shown
    assert team.history["agent"].to_list() == shown * 2

    equity = run_contest(world, CUT, {7: team.policy}, [1], scenario).equity
    traders = {f"agents/{role.name}" for role in scenario.roles if role.trades}
    assert set(equity["policy"]) == traders | {f"rule_{name}" for name in shown} | {
        "agents",
        "random",
        "hold",
        "rules",
        "buy_and_hold",
    }

    group = groups_of(world, CUT, scenario.task.instruments)[0].tolist()
    earned = credit(world, team.policy, CUT, group, 39, scenario)
    assert list(earned.roles) == shown
    assert sum(earned.value) == pytest.approx(earned.everyone, abs=1e-12)
    last = equity.filter(policy="agents")["equity"][-1]
    assert earned.everyone == pytest.approx(math.log(last), rel=1e-9)

    floor = scenario.training_floor(world, n_envs=50, length=10, span=(0, CUT))
    step = floor.step(floor.baseline())
    exported = OnnxPolicy(policy_bytes(team.policy, team.agents))
    acted = exported.act(step.observation.numpy(), step.action_mask.numpy())
    assert (acted == team.policy.act(step.observation, step.action_mask).numpy()).mean() > 0.99
