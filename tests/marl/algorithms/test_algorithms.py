"""Algorithms by name: the built-in ones, a home's own, and what is refused of one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.errors import ConfigError, NotEnoughData, PluginError
from nofx_pipelines.marl.algorithms import algorithm, maddpg, mappo
from nofx_pipelines.marl.contest import run_contest
from nofx_pipelines.marl.training import Team, pack, train_team, unpack
from nofx_pipelines.plugins import builtin_names
from tests.marl.tasks.test_tasks import MINE as FLOOR
from tests.marl.worlds import SCENARIO, panel, write_member
from tests.member_files import members_of

CONFIG = MarlConfig(algorithm="mine:ALGORITHM", iterations=2, envs=3, window=10)
MINE = """
import torch
from nofx_pipelines.marl.algorithms.protocol import AgentRow
from nofx_pipelines.marl.policy import Policy, PolicyConfig

class Lucky:
    name = "lucky"

    def train(self, make, config, *, seed, checkpoint=None, on_iteration=None, device="cpu"):
        \"\"\"The better of a few policies that were never trained.\"\"\"
        floor, best = make(), None
        for number in range(1, config.iterations + 1):
            policy = Policy(
                floor.n_agents, floor.observation_size, floor.n_actions, floor.discrete,
                PolicyConfig(hidden=(4,), last_gain=1.0), torch.Generator().manual_seed(seed + number),
            )
            step, total = floor.reset(torch.Generator().manual_seed(seed)), 0.0
            while not step.done.all():
                step = floor.step(policy.act(step.observation, step.action_mask))
                total = total + step.reward.mean(dim=0)
            if best is None or total.mean() > best[0]:
                best = (total.mean(), policy)
            on_iteration([
                AgentRow(number, agent, number * 30, float(total[a]), {}, None, None)
                for a, agent in enumerate(floor.agents)
            ])
        return best[1]

ALGORITHM = Lucky()
"""


def trained(folder: Path) -> Team:
    return train_team(panel(), 120, CONFIG, 7, run="r", folder=folder)


def test_every_file_that_assigns_an_algorithm_is_one() -> None:
    assert builtin_names("algorithms") == members_of("algorithms")
    assert {"maddpg", "mappo"} <= set(members_of("algorithms"))
    assert (algorithm("mappo"), algorithm("maddpg")) == (mappo.ALGORITHM, maddpg.ALGORITHM)


def test_settings_follow_from_the_team_s_configuration() -> None:
    config = MarlConfig(iterations=5, envs=4, window=12)
    for settings in (mappo.settings(config), maddpg.settings(config)):
        assert (settings.iterations, settings.horizon, settings.policy.hidden) == (5, 12, (64, 64))
    assert maddpg.settings(config).warm_up == 48


def test_a_file_of_the_home_trains_a_team_that_is_judged(tmp_path: Path) -> None:
    team = trained(write_member(tmp_path, MINE))
    assert team.history["iteration"].to_list() == [1] * 8 + [2] * 8
    assert team.history["losses"].struct.unnest().null_count().row(0) == (16, 16)
    equity = run_contest(panel(), 120, {7: team.policy}, [1], SCENARIO).equity
    assert equity.filter(policy="agents").height == 40
    restored = unpack(*pack(team))
    assert pack(dataclasses.replace(team, policy=restored)) == pack(team)


@pytest.mark.parametrize(
    ("line", "other", "problem"),
    [
        ("import torch", "import torch, nowhere", "raised ModuleNotFoundError when importing it"),
        ("ALGORITHM = Lucky()", "ALGORITHM = Lucky", "is the class Lucky"),
        ('name = "lucky"', 'name = "mappo"', "calls itself 'mappo', which is a built-in agent algorithm"),
        ("def train(", "def learn(", "has no method train"),
        ("floor, best = make(), None", "1 / 0", "raised ZeroDivisionError when training"),
        ("return best[1]", "return None", "returns NoneType, not a Policy"),
        ("floor.n_actions, ", "floor.n_actions + 1, ", "raised RuntimeError when training"),
        ("floor.observation_size, ", "floor.observation_size + 1, ", "raised RuntimeError when training"),
        (
            "return best[1]",
            "return Policy(2, 3, 4, True, PolicyConfig(), torch.Generator())",
            "returns a policy of agents = 2, not 8",
        ),
        (
            "return best[1]",
            "best[1].actor.last.bias.data[0] = float('nan'); return best[1]",
            "returns a policy whose actor.last.bias is not finite",
        ),
        (
            "return best[1]",
            "best[1].act = lambda *given: torch.zeros(3); return best[1]",
            r"returns actions of shape \[3\], not \[3, 8\]",
        ),
        (
            "return best[1]",
            "best[1].act = lambda *given: torch.full((3, 8), 6); return best[1]",
            "returns a policy that takes actions which are not legal",
        ),
        (
            "return best[1]",
            "best[1].act = lambda *given: torch.full((3, 8), 99); return best[1]",
            "returns a policy that takes actions which are not legal",
        ),
        (
            "return best[1]",
            "best[1].act = lambda *given: torch.zeros(3, 8, dtype=torch.int64); return best[1]",
            "returns a policy that acts otherwise once it was stored",
        ),
        (
            "return best[1]",
            "best[1].more = torch.nn.Linear(2, 2); return best[1]",
            "raised RuntimeError when storing its policy",
        ),
        (
            "PolicyConfig(hidden=(4,), last_gain=1.0)",
            "PolicyConfig(message=__import__('nofx_pipelines.marl.communication', fromlist=['_'])"
            ".MessageConfig(words=1))",
            "returns a policy that speaks; teams are judged without messages",
        ),
        (
            "step = floor.step(policy.act(step.observation, step.action_mask))",
            "step = floor.step(torch.full((3, 8), 6))",
            "was refused by its environment: action 6 of ",
        ),
        (
            "while not step.done.all():",
            "while True:",
            "was refused by its environment: the episode of 10 steps",
        ),
        ("on_iteration([", "list([", "told nothing of its iterations"),
        (
            "enumerate(floor.agents)",
            "enumerate(floor.agents[1:])",
            "tells of trend_follower, .*, not of each of",
        ),
        ("number * 30, float(total[a])", "number * 30, total[a]", "tells of reward = tensor"),
        (
            "number * 30, float(total[a])",
            "30.0, float(total[a])",
            "counts iterations or frames of market_maker",
        ),
        ("float(total[a]), {},", "float('nan'), {},", "tells of reward = nan of market_maker"),
        (
            "float(total[a]), {},",
            "0.0, {'actor': 1.0},",
            r"tells of the losses \['actor'\]; they are policy and",
        ),
    ],
)
def test_what_breaks_the_protocol_is_refused_by_name(
    line: str, other: str, problem: str, tmp_path: Path
) -> None:
    assert line in MINE
    with pytest.raises(PluginError, match=rf"plug-in 'mine:ALGORITHM' .*mine.py.* ({problem})"):
        trained(write_member(tmp_path, MINE.replace(line, other)))


def test_an_illegal_action_on_a_home_s_own_floor_names_who_took_it(tmp_path: Path) -> None:
    text = MINE.replace("policy.act(step.observation, step.action_mask)", "torch.full((3, 8), 6)")
    folder = write_member(write_member(tmp_path, text), FLOOR, "floor")
    config = dataclasses.replace(CONFIG, task="floor:TASK")
    with pytest.raises(
        PluginError, match=r"plug-in 'mine:ALGORITHM' .* refused by its environment: action 6"
    ):
        train_team(panel(), 120, config, 7, run="r", folder=folder)


def test_rows_of_another_make_are_refused(tmp_path: Path) -> None:
    text = MINE.replace("on_iteration([", "on_iteration([number for _ in (1,)] and [(1, 2)] or [")
    with pytest.raises(PluginError, match="by something else than a list of AgentRow"):
        trained(write_member(tmp_path, text))


def test_an_environment_s_own_error_stays_what_it_is(tmp_path: Path) -> None:
    folder = write_member(tmp_path, MINE)
    with pytest.raises(NotEnoughData, match="hold no window of 10 bars"):
        train_team(panel(), 65, CONFIG, 7, run="r", folder=folder)


def test_one_that_goes_on_from_a_finished_checkpoint_needs_to_tell_nothing(tmp_path: Path) -> None:
    text = MINE.replace(
        "            on_iteration([",
        "            if checkpoint.exists(): continue\n            on_iteration([",
    ).replace("return best[1]", "checkpoint.touch(); return best[1]")
    folder, path = write_member(tmp_path, text), tmp_path / "team.ckpt"
    first, again = (
        train_team(panel(), 120, CONFIG, 7, run="r", checkpoint=path, folder=folder) for _ in range(2)
    )
    assert pack(first) == pack(again)
    assert first.history.equals(again.history)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"agent algorithm 'ppo' is none of .*; known are maddpg, mappo"):
        algorithm("ppo")
