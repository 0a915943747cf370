"""Roles by name: their order, teams that make no sense, and files of a home that break the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.errors import ConfigError, PluginError
from nofx_pipelines.marl.roles import roles
from nofx_pipelines.marl.roles.opening import MOST_ROLES
from nofx_pipelines.plugins import builtin_names
from tests.marl.worlds import write_member
from tests.member_files import members_of

PLAIN = """
import torch
from nofx_pipelines.marl.roles.role import Decision, equal_weight, keep, legal, observation, pick, rule

class Buyer:
    name = "buyer"
    actions = ("hold", "buy")
    trades = True

    def observe(self, view, me):
        return observation(view, me, ("return_1",), ("breadth",))

    def mask(self, view, me):
        return legal(view, me, [~view.held(me)])

    def decide(self, view, me, action):
        return Decision(target=pick([keep(view), equal_weight(view.price > 0)], action))

    def reward(self, outcome, me):
        return outcome.own[:, me]

    def baseline(self, view, me):
        return torch.zeros_like(view.age)

ROLE = Buyer()
"""


def test_every_file_that_assigns_a_role_is_one() -> None:
    names = builtin_names("roles")
    assert names == members_of("roles")
    assert set(MarlConfig().roles) <= set(names)
    assert {role.name for role in roles(names)} == set(names)


def test_the_order_is_that_of_the_names() -> None:
    names = ["risk_manager", "hedger", "trend_follower"]
    assert [role.name for role in roles(names)] == names


def test_a_file_of_the_home_stands_beside_built_in_ones(tmp_path: Path) -> None:
    team = roles(["hedger", "mine:ROLE"], write_member(tmp_path, PLAIN))
    assert [(role.name, role.trades, role.actions[0]) for role in team] == [
        ("hedger", True, "hold"),
        ("buyer", True, "hold"),
    ]


def test_managers_alone_have_nothing_to_manage() -> None:
    with pytest.raises(ConfigError, match="none of them trades, so there is nothing to manage"):
        roles(["portfolio_manager", "risk_manager"])


def test_too_many_to_credit_are_refused_before_they_are_trained(tmp_path: Path) -> None:
    folder = write_member(tmp_path, PLAIN)
    for place in range(MOST_ROLES + 1):
        write_member(folder, PLAIN.replace('"buyer"', f'"buyer_{place}"'), f"role_{place}")
    names = [f"role_{place}:ROLE" for place in range(MOST_ROLES + 1)]
    assert len(roles(names[:-1], folder)) == MOST_ROLES
    with pytest.raises(ConfigError, match=r"13 roles: credit runs every one of the 2\^13 teams"):
        roles(names, folder)


def test_two_roles_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = write_member(write_member(tmp_path, PLAIN), PLAIN, "other")
    with pytest.raises(
        PluginError, match=r"plug-in 'other:ROLE' .* calls itself 'buyer', as plug-in 'mine:ROLE'"
    ):
        roles(["mine:ROLE", "other:ROLE"], folder)


@pytest.mark.parametrize(
    ("line", "other", "problem"),
    [
        ("import torch", "import torch, nowhere", "raised ModuleNotFoundError when importing it"),
        ("ROLE = Buyer()", "ROLE = Buyer", "is the class Buyer"),
        ("ROLE = Buyer()", "", "has no 'ROLE'"),
        ('name = "buyer"', 'name = "hedger"', "calls itself 'hedger', which is a built-in role"),
        ('name = "buyer"', 'name = "a/b"', "calls itself 'a/b'; a role's name matches"),
        ('name = "buyer"', "name = None", "has the name None"),
        ('("hold", "buy")', '("buy", "hold")', "has the first action 'buy'; it is 'hold'"),
        ('("hold", "buy")', '("hold",)', "they are a tuple of two names or more"),
        ('("hold", "buy")', '("hold", "buy", "buy")', "they are a tuple of two names or more"),
        ('("hold", "buy")', "7", "has the actions 7"),
        ("trades = True", "", "does not say by `trades`"),
        ("def baseline(", "def rule_of_mine(", "has no method baseline"),
        ('return observation(view, me, ("return_1",), ("breadth",))', "1 / 0", "raised ZeroDivisionError"),
        (
            'return observation(view, me, ("return_1",), ("breadth",))',
            "return view.weights[:, me]",
            "returns the observation as float64, not float32",
        ),
        (
            'return observation(view, me, ("return_1",), ("breadth",))',
            "return view.weights.float()",
            r"returns the observation of shape \[17, 2, 14\], not \[17, any\]",
        ),
        (
            "return legal(view, me, [~view.held(me)])",
            "return ~view.ruined",  # [E, A], which two actions and two agents would hide
            "does not allow 'hold' everywhere",
        ),
        (
            "return legal(view, me, [~view.held(me)])",
            "return torch.ones(len(view.price), 2, dtype=torch.bool)",
            "allows a ruined agent another action than 'hold'",
        ),
        ("return legal(view, me, [~view.held(me)])", "return [True]", "returns list as the mask"),
        ("return Decision(", "return dict(", "decides dict, not a Decision"),
        (
            "[keep(view), equal_weight(view.price > 0)]",
            "[torch.zeros_like(view.price), equal_weight(view.price > 0)]",
            "asks for something when its action is 'hold'",
        ),
        (
            "Decision(target=pick([keep(view), equal_weight(view.price > 0)], action))",
            "Decision(cap=torch.full((len(action),), 2.0))",
            "sets the cap to 2.0; it is 0 to 1",
        ),
        (
            "Decision(target=pick([keep(view), equal_weight(view.price > 0)], action))",
            "Decision(budget=view.cap * float('nan'))",
            r"returns the budget of shape \[17\], not \[17, 2\]",
        ),
        (
            "return outcome.own[:, me]",
            "return outcome.own",
            r"returns the reward of shape \[17, 2\], not \[17\]",
        ),
        (
            "return outcome.own[:, me]",
            "return outcome.own[:, me].to('meta')",
            "the reward on meta, not on cpu",
        ),
        ("return outcome.own[:, me]", "return outcome.own[:, me] / 0", "returns the reward with nan"),
        (
            "return torch.zeros_like(view.age)",
            "return torch.ones_like(view.age)",
            "has a rule that takes action 1, which is not legal then",
        ),
        (
            "return torch.zeros_like(view.age)",
            "return torch.full_like(view.age, 2)",
            "has a rule that takes action 2, which is not legal then",
        ),
    ],
)
def test_what_breaks_the_protocol_is_refused_by_name(
    line: str, other: str, problem: str, tmp_path: Path
) -> None:
    assert line in PLAIN
    folder = write_member(tmp_path, PLAIN.replace(line, other))
    with pytest.raises(PluginError, match=f"plug-in 'mine:ROLE' .*mine.py.* ({problem})"):
        roles(["hedger", "mine:ROLE"], folder)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"role 'hegder' is none of this installation's; known are .*arbitrageur"
    ):
        roles(["hegder"])
