"""What agents are paid: the sum of the rewards named, a plug-in's checked bar by bar."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nofx_pipelines.errors import ConfigError, PluginError
from nofx_pipelines.marl.environment import Step
from nofx_pipelines.marl.rewards import rewards
from nofx_pipelines.plugins import builtin_names
from tests.marl.worlds import ROLES, outcome, panel, trading_floor, write_member
from tests.member_files import members_of

MINE = """
class Mine:
    name = "mine"

    def value(self, outcome, roles, me):
        return outcome.index + me

REWARD = Mine()
"""


def paid(*names: str, folder: Path | None = None) -> list[torch.Tensor]:
    """The rewards ``[E, A]`` of five bars on which everybody follows the rules."""
    floor = trading_floor(panel(), n_envs=3, length=5, span=(0, 160), rewards=rewards(names, folder))
    floor.reset(torch.Generator().manual_seed(3))
    steps: list[Step] = [floor.step(floor.baseline()) for _ in range(5)]
    return [step.reward for step in steps]


def test_every_file_that_assigns_a_reward_is_one() -> None:
    names = builtin_names("rewards")
    assert names == members_of("rewards")
    assert {"role", "team"} <= set(names)
    assert tuple(reward.name for reward in rewards(names)) == names


def test_role_is_what_each_role_is_paid_for() -> None:
    (reward,) = rewards(["role"])
    brought = outcome(own=torch.arange(8.0), team=5.0, index=1.0)
    for me, role in enumerate(ROLES):
        assert torch.equal(reward.value(brought, ROLES, me), role.reward(brought, me))


def test_team_is_the_team_s_return_whoever_asks() -> None:
    (reward,) = rewards(["team"])
    brought = outcome(own=torch.arange(8.0), team=5.0)
    assert [reward.value(brought, ROLES, me).item() for me in range(8)] == [5.0] * 8


def test_rewards_add_up() -> None:
    both, role, team = paid("role", "team"), paid("role"), paid("team")
    for together, one, other in zip(both, role, team, strict=True):
        torch.testing.assert_close(together, one + other)
        assert (other == other[:, :1]).all()
    assert any((one != other).any() for one, other in zip(role, team, strict=True))


def test_a_file_of_the_home_pays_beside_built_in_ones(tmp_path: Path) -> None:
    folder = write_member(tmp_path, MINE)
    both, role, mine = (
        paid(*names, folder=folder) for names in (("role", "mine:REWARD"), ("role",), ("mine:REWARD",))
    )
    for together, one, other in zip(both, role, mine, strict=True):
        torch.testing.assert_close(together, one + other)
        torch.testing.assert_close(other[:, 1:] - other[:, :-1], torch.ones(3, 7))


@pytest.mark.parametrize(
    ("line", "other", "problem"),
    [
        ("class Mine:", "import nowhere\nclass Mine:", "raised ModuleNotFoundError when importing it"),
        ("REWARD = Mine()", "REWARD = Mine", "is the class Mine"),
        ('name = "mine"', 'name = "role"', "calls itself 'role', which is a built-in reward"),
        ("def value(", "def worth(", "has no method value"),
        ("return outcome.index + me", "return 1 / 0", "raised ZeroDivisionError when paying market_maker"),
        ("return outcome.index + me", "return outcome.own", r"the reward of shape \[3, 8\], not \[3\]"),
        (
            "return outcome.index + me",
            "return outcome.index.to('meta')",
            "returns the reward on meta, not on cpu",
        ),
        ("return outcome.index + me", "return 0.0", "returns float as the reward, not a tensor"),
        ("return outcome.index + me", "return outcome.index * float('nan')", "returns the reward with nan"),
        ("return outcome.index + me", "return outcome.index > 0", "returns the reward as bool"),
    ],
)
def test_what_breaks_the_protocol_is_refused_by_name(
    line: str, other: str, problem: str, tmp_path: Path
) -> None:
    assert line in MINE
    folder = write_member(tmp_path, MINE.replace(line, other))
    with pytest.raises(PluginError, match=rf"plug-in 'mine:REWARD' .*mine.py.* {problem}"):
        paid("role", "mine:REWARD", folder=folder)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"reward 'roll' is none of this installation's; known are .*role, .*team"
    ):
        rewards(["roll"])
