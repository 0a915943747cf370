"""The small worlds: equal to the reference where there is one, and to their own arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nofx_pipelines.marl.games.game import Game
from nofx_pipelines.marl.games.referential import Referential
from nofx_pipelines.marl.games.speaker_listener import STEPS, SpeakerListener
from nofx_pipelines.marl.games.team import Team
from nofx_pipelines.marl.games.xor import Xor


def _generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.filterwarnings("ignore")
def test_speaker_listener_is_mpe2_s_step_by_step() -> None:
    mpe = pytest.importorskip("mpe2.simple_speaker_listener.simple_speaker_listener")
    rng = np.random.default_rng(3)
    for episode in range(5):
        reference = mpe.raw_env(max_cycles=STEPS)
        reference.reset(seed=episode)
        world = reference.unwrapped.world
        goal = next(k for k, mark in enumerate(world.landmarks) if mark is world.agents[0].goal_b)
        ours = SpeakerListener(1)
        ours.reset(_generator())
        places = [
            torch.tensor(np.array(e.state.p_pos))[None].float() for e in (world.agents[1], *world.landmarks)
        ]
        ours.place_at(torch.tensor([goal]), places[0], torch.stack(places[1:], dim=1))
        for _ in range(STEPS):
            word, move = int(rng.integers(3)), int(rng.integers(5))
            reference.step(word)
            reference.step(move)
            step = ours.step(torch.tensor([[word, move]]))
            theirs = reference.unwrapped.scenario.observation(world.agents[1], world)
            np.testing.assert_allclose(step.observation[0, 1].numpy(), theirs, atol=1e-5)
            speaker = reference.unwrapped.scenario.observation(world.agents[0], world)
            np.testing.assert_allclose(step.observation[0, 0, :3].numpy(), speaker, atol=1e-6)
            reward = reference.unwrapped.scenario.reward(world.agents[0], world)
            assert float(step.reward[0, 0]) == pytest.approx(reward, abs=1e-4)


def test_random_play_scores_what_the_reference_scores() -> None:
    """-41.43 +- 1.07 over a thousand episodes of mpe2."""
    game, generator = SpeakerListener(4_000), _generator(5)
    game.reset(generator)
    total = torch.zeros(4_000)
    for _ in range(STEPS):
        action = torch.stack([game.choice(generator, 3), game.choice(generator, 5)], dim=1)
        step = game.step(action)
        total += step.reward[:, 0]
    assert float(total.mean()) == pytest.approx(-41.43, abs=2.2)
    assert bool(step.done.all())


@pytest.mark.parametrize(
    "game", [SpeakerListener(7), Xor(7), Referential(7), Team(7)], ids=lambda g: type(g).__name__
)
def test_shapes_are_what_is_said_and_seeds_repeat(game: Game) -> None:
    first, second = game.reset(_generator(2)), game.reset(_generator(2))
    torch.testing.assert_close(first.observation, second.observation, rtol=0, atol=0)
    assert first.observation.shape == (7, game.n_agents, game.observation_size)
    assert first.action_mask.shape == (7, game.n_agents, game.n_actions)
    assert first.state.shape == (7, game.state_size)
    assert len(game.agents) == game.n_agents


def test_xor_pays_for_being_different() -> None:
    game = Xor(4)
    game.reset(_generator())
    step = game.step(torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]))
    assert step.reward[:, 0].tolist() == [0, 1, 1, 0]
    assert bool(step.done.all())


def test_the_receiver_sees_nothing_of_the_target() -> None:
    game = Referential(64)
    start = game.reset(_generator())
    assert not start.observation[:, 1].any()
    second = game.step(torch.zeros(64, 2, dtype=torch.int64))
    assert torch.unique(second.observation, dim=0).shape[0] == 1
    right = torch.stack([torch.zeros_like(game.target), game.target], dim=1)
    assert game.step(right).reward.min() == 1.0


def test_the_team_is_best_when_each_answers_its_half() -> None:
    game = Team(32)
    start = game.reset(_generator())
    assert float(game.step(start.observation).reward.min()) == pytest.approx(0.0, abs=1e-12)
