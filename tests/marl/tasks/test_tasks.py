"""Tasks by name: the built-in floor, a home's own, and floors that break the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.errors import ConfigError, NotEnoughData, PluginError
from nofx_pipelines.marl.contest import groups_of, run_contest
from nofx_pipelines.marl.scenario import open_scenario
from nofx_pipelines.marl.tasks import task
from nofx_pipelines.marl.trading import CAPITAL, Draw, TradingEnvironment
from nofx_pipelines.marl.training import train_team
from nofx_pipelines.plugins import builtin_names
from tests.marl.test_credit import Fixed
from tests.marl.worlds import ROLES, SCENARIO, panel, write_member
from tests.member_files import members_of

MINE = """
import torch
from nofx_pipelines.marl.trading import Draw, TradingEnvironment

class Pit(TradingEnvironment):
    pass

class Mine:
    name = "mine"
    instruments = 2

    def environment(self, panel, *, n_envs, length, span, roles, rewards, draw=None):
        return Pit(panel, n_envs=n_envs, length=length, span=span, roles=roles, rewards=rewards, draw=draw,
                   n_instruments=self.instruments, capital=500.0)

TASK = Mine()
"""
CONFIG = MarlConfig(task="mine:TASK", iterations=1, envs=3, window=10)


def test_every_file_that_assigns_a_task_is_one() -> None:
    assert builtin_names("tasks") == members_of("tasks")
    assert "trading" in members_of("tasks")
    assert task("trading").name == "trading"


def test_trading_is_the_floor_with_six_instruments_and_a_million() -> None:
    floor = SCENARIO.training_floor(panel(), n_envs=2, length=10, span=(0, 160))
    assert isinstance(floor, TradingEnvironment)
    assert (task("trading").instruments, floor.n_instruments) == (6, 6)
    assert floor.capital.tolist() == [CAPITAL] * 6 + [0.0, 0.0]


def test_nobody_is_paid_where_a_team_is_judged() -> None:
    floor = SCENARIO.judging_floor(panel(), Draw(torch.tensor([100]), torch.tensor([[0, 1]])), 10)
    rewards = [floor.step(floor.baseline()).reward for _ in range(10)]
    assert not torch.stack(rewards).any()
    assert (floor.equity != floor.capital).any()


def test_a_floor_of_the_home_is_trained_and_judged_on(tmp_path: Path) -> None:
    folder = write_member(tmp_path, MINE)
    world, scenario = panel(), open_scenario(CONFIG, folder)
    team = train_team(world, 120, CONFIG, 7, run="r", folder=folder)
    theirs = run_contest(world, 120, {7: team.policy}, [1], scenario).equity
    assert groups_of(world, 120, scenario.task.instruments).shape == (3, 2)
    ours = run_contest(world, 120, {7: Fixed()}, [1], SCENARIO).equity
    held = {
        name: curves.filter(policy="buy_and_hold")["equity"][-1]
        for name, curves in (("theirs", theirs), ("ours", ours))
    }
    assert held["theirs"] == 1.0  # five hundred buy no lot of a hundred shares
    assert held["ours"] != 1.0


def test_no_room_for_an_episode_stays_that_error(tmp_path: Path) -> None:
    scenario = open_scenario(CONFIG, write_member(tmp_path, MINE))
    with pytest.raises(NotEnoughData, match="hold no window of 10 bars"):
        scenario.training_floor(panel(), n_envs=2, length=10, span=(0, 65))


def play(folder: Path) -> None:
    """Everything that training and judging ask of a floor."""
    scenario, world = open_scenario(CONFIG, folder), panel()
    floors = [
        scenario.training_floor(world, n_envs=3, length=3, span=(0, 160)),
        scenario.judging_floor(world, Draw(torch.tensor([100, 110]), torch.tensor([[0, 1], [2, 3]])), 3),
    ]
    for floor in floors:
        floor.reset(torch.Generator().manual_seed(1))
        assert floor.agents == tuple(role.name for role in ROLES) == tuple(r.name for r in floor.roles)
        for _ in range(3):
            floor.step(floor.baseline())
            amounts = (floor.equity, floor.traded(), floor.costs())
            assert all(amount.shape == (floor.n_envs, 8) for amount in amounts)
            assert floor.capital.shape == floor.own_returns().shape == (8,)
            assert floor.holdings_without_trade() == ()


def test_the_floor_itself_is_taken(tmp_path: Path) -> None:
    play(write_member(tmp_path, MINE))


@pytest.mark.parametrize(
    ("line", "other", "problem"),
    [
        ("import torch", "import torch, nowhere", "raised ModuleNotFoundError when importing it"),
        ("TASK = Mine()", "TASK = Mine", "is the class Mine"),
        ('name = "mine"', 'name = "trading"', "calls itself 'trading', which is a built-in task"),
        ("instruments = 2", "instruments = 0", "has instruments = 0; it is 1 or more"),
        ("instruments = 2", "", "has instruments = None"),
        ("def environment(", "def floor(", "has no method environment"),
        ("roles, rewards, draw=None):", "roles, rewards):", "raised TypeError when making its floor"),
        ("return Pit(", "return {1: 1} or Pit(", "makes a floor without a method 'reset': dict"),
        ("roles=roles,", "roles=roles[1:],", "makes a floor for trend_follower, .*, not for market_maker"),
        ("n_envs=n_envs,", "n_envs=n_envs + 1,", "makes a floor of 4 copies, not 3"),
        ("    pass", "    discrete = False", "makes a floor of continuous actions"),
        ("    pass", "    state_size = 0", "makes a floor with state_size = 0"),
        ("    pass", "    traded = None", "makes a floor without a method 'traded'"),
        (
            "    pass",
            "    def reset(self, generator):\n        return super().reset(generator) and 1",
            "steps to int, not a Step",
        ),
        ("draw=draw,", "draw=draw and Draw(draw.start + 1, draw.pick),", "starts at other bars than those"),
        ("length=length,", "length=length + 1,", r"says done = \[False\] after 3 steps of 3"),
        ("length=length,", "length=length - 1,", r"says done = \[True\] after 2 steps of 3"),
    ],
)
def test_what_breaks_the_protocol_is_refused_by_name(
    line: str, other: str, problem: str, tmp_path: Path
) -> None:
    assert line in MINE
    folder = write_member(tmp_path, MINE.replace(line, other))
    with pytest.raises(PluginError, match=rf"plug-in 'mine:TASK' .*mine.py.* ({problem})"):
        play(folder)


@pytest.mark.parametrize(
    ("method", "value", "problem"),
    [
        ("baseline(self)", "torch.zeros(2)", r"returns the rules' actions of shape \[2\], not \[3, 8\]"),
        ("traded(self)", "1 / 0", "raised ZeroDivisionError when saying what was traded"),
        ("costs(self)", "self.equity[0]", r"returns the costs of shape \[8\], not \[3, 8\]"),
        ("own_returns(self)", "self.equity", r"returns the own returns of shape \[3, 8\], not \[8\]"),
        ("bars(self)", "self.equity[:, 0]", "returns the bars as float64, not int64"),
        ("_state(self, view)", "torch.zeros(3, 2)", r"returns the state of shape \[3, 2\]"),
        ("_paid(self, outcome, me)", "outcome.team * float('nan')", "returns the reward with nan"),
    ],
)
def test_what_its_floor_says_wrongly_is_refused(
    method: str, value: str, problem: str, tmp_path: Path
) -> None:
    text = MINE.replace("    pass", f"    def {method}:\n        return {value}")
    with pytest.raises(PluginError, match=problem):
        play(write_member(tmp_path, text))


def test_a_curve_is_of_each_bar_although_the_floor_writes_over_its_own(tmp_path: Path) -> None:
    text = MINE.replace(
        "    pass",
        """    def step(self, action, message=None):
        same = self.equity
        step = super().step(action, message)
        self.equity = same.copy_(self.equity)
        return step""",
    ).replace("capital=500.0", "capital=1e6")
    scenario = open_scenario(CONFIG, write_member(tmp_path, text))
    curve = run_contest(panel(), 120, {7: Fixed()}, [1], scenario).equity.filter(policy="buy_and_hold")
    assert curve["equity"].n_unique() > 10


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'trade' is none of this installation's; known are .*trading"):
        task("trade")
