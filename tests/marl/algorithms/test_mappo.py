"""MAPPO: its parts against closed forms, the whole on worlds whose answer is known."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from nofx_pipelines.errors import ConfigError, DataError
from nofx_pipelines.marl.algorithms.mappo import Learner, MappoConfig, advantages, roll_out, surrogate, train
from nofx_pipelines.marl.algorithms.protocol import AgentRow
from nofx_pipelines.marl.environment import Step
from nofx_pipelines.marl.games.speaker_listener import SpeakerListener
from nofx_pipelines.marl.games.team import Team
from nofx_pipelines.marl.games.xor import Xor
from tests.marl.play import score

XOR = MappoConfig(iterations=30, horizon=1, learning_rate=3e-3)


def test_gae_is_the_sum_of_discounted_surprises() -> None:
    generator = torch.Generator().manual_seed(1)
    reward, value = torch.randn(6, 2, 1, generator=generator), torch.randn(7, 2, 1, generator=generator)
    done = torch.zeros(6, 2)
    done[3, 1] = 1.0
    found = advantages(reward, value, done, gamma=0.9, gae=0.8)
    for e in range(2):
        for t in range(6):
            expected, weight = 0.0, 1.0
            for k in range(t, 6):
                goes_on = 1.0 - float(done[k, e])
                expected += weight * float(
                    reward[k, e, 0] + 0.9 * goes_on * value[k + 1, e, 0] - value[k, e, 0]
                )
                weight *= 0.9 * 0.8 * goes_on
            assert float(found[t, e, 0]) == pytest.approx(expected, abs=1e-5)


def test_with_lambda_one_an_advantage_is_return_less_value() -> None:
    reward, value = torch.rand(5, 3, 2), torch.rand(6, 3, 2)
    done = torch.zeros(5, 3)
    done[-1] = 1.0
    returns = torch.stack([sum(0.9 ** (k - t) * reward[k] for k in range(t, 5)) for t in range(5)])  # type: ignore[arg-type]
    torch.testing.assert_close(advantages(reward, value, done, 0.9, 1.0), returns - value[:-1])


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [(1.5, 1.0, 1.2), (0.5, 1.0, 0.5), (1.5, -1.0, -1.5), (0.5, -1.0, -0.8), (1.0, 2.0, 2.0)],
)
def test_the_surrogate_is_cut_where_the_policy_moved_far(
    ratio: float, advantage: float, expected: float
) -> None:
    assert float(surrogate(torch.tensor(ratio), torch.tensor(advantage), 0.2)) == pytest.approx(expected)


def test_its_gradient_is_the_policy_gradient_at_the_old_policy() -> None:
    """By finite differences, in double precision."""
    logits = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64, requires_grad=True)
    action, advantage = torch.tensor([0, 2, 1, 0]), torch.tensor([1.0, -0.5, 2.0, 0.3], dtype=torch.float64)
    old = logits.detach().log_softmax(-1)[action]

    def objective(x: torch.Tensor) -> torch.Tensor:
        return surrogate((x.log_softmax(-1)[action] - old).exp(), advantage, 0.2).mean()

    objective(logits).backward()
    for k in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[k] = 1e-6
        numeric = (objective(logits.detach() + step) - objective(logits.detach() - step)) / 2e-6
        assert float(logits.grad[k]) == pytest.approx(float(numeric), abs=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_agents_learn_to_differ_although_neither_sees_anything(seed: int) -> None:
    assert score(train(lambda: Xor(64), XOR, seed=seed), Xor(64)) == 1.0


def test_a_critic_that_sees_the_state_knows_what_a_blind_one_cannot() -> None:
    """The return depends on both halves: the critic's error falls to the policy's own noise."""
    rows: list[list[AgentRow]] = []
    train(
        lambda: Team(128),
        MappoConfig(iterations=80, horizon=1, entropy=0.0, learning_rate=3e-3),
        seed=1,
        on_iteration=rows.append,
    )
    first, last = (sum(r.losses["value"] for r in found) / 2 for found in (rows[2], rows[-1]))
    assert last < first


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_team_that_acts_continuously_learns(seed: int) -> None:
    config = MappoConfig(iterations=120, horizon=1, entropy=0.0, learning_rate=3e-3)
    assert -score(train(lambda: Team(128), config, seed=seed), Team(512)) < 0.059


def test_the_first_ratio_of_an_update_is_one() -> None:
    learner = Learner(SpeakerListener(8), MappoConfig(horizon=5), seed=1)
    rollout = roll_out(learner)
    flat = [t.flatten(end_dim=1) for t in (rollout.observation, rollout.mask, rollout.before)]
    log_prob, _ = learner.evaluate(learner.policy.logits(*flat), rollout.action.flatten(end_dim=1))
    torch.testing.assert_close(log_prob, rollout.log_prob.flatten(end_dim=1), atol=1e-5, rtol=0)


def test_rows_tell_the_story_of_training() -> None:
    rows: list[list[AgentRow]] = []
    train(lambda: Xor(32), dataclasses.replace(XOR, iterations=5), seed=1, on_iteration=rows.append)
    assert [found[0].iteration for found in rows] == [1, 2, 3, 4, 5]
    assert [found[0].frames for found in rows] == [32, 64, 96, 128, 160]
    assert {row.agent for row in rows[0]} == {"first", "second"}
    assert all(0 <= (row.entropy or 0) <= 0.7 for found in rows for row in found)


def test_the_same_seed_gives_the_same_bits() -> None:
    first, second = (train(lambda: Xor(16), dataclasses.replace(XOR, iterations=4), seed=5) for _ in range(2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


class _Spoiled(Xor):
    def reset(self, generator: torch.Generator) -> Step:
        step = super().reset(generator)
        step.observation[3, 1, 0] = float("nan")
        return step


def test_nan_in_an_observation_is_named() -> None:
    with pytest.raises(DataError, match="observation 0 of agent 1 in copy 3 is nan"):
        train(lambda: _Spoiled(8), XOR, seed=1)


class _Stuck(Xor):
    def mask(self, shape: tuple[int, int, int]) -> torch.Tensor:
        allowed = super().mask(shape)
        allowed[:, 0] = False
        return allowed


def test_an_agent_without_a_legal_action_stops_nobody() -> None:
    assert torch.isfinite(
        train(lambda: _Stuck(8), dataclasses.replace(XOR, iterations=3), seed=1).scale.mean
    ).all()


class _Alone(Xor):
    def __init__(self) -> None:
        super().__init__(16, names=("only",))

    def reset(self, generator: torch.Generator) -> Step:
        return self.seen(self.zeros(1, 1), self.zeros(1), done=False)

    def step(self, action: torch.Tensor, message: torch.Tensor | None = None) -> Step:
        return self.seen(self.zeros(1, 1), (action == 1).float(), done=True)


def test_one_agent_is_enough() -> None:
    assert score(train(_Alone, XOR, seed=1), _Alone()) == 1.0


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="horizon = 0"):
        MappoConfig(horizon=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [21, 22, 23])
def test_speaker_and_listener_learn_to_talk(seed: int) -> None:
    """Random words end at -14.9, the middle of the landmarks at -15.65; -13 parted every run tried."""
    config = MappoConfig(
        iterations=200, horizon=25, gamma=0.95, entropy=0.003, epochs=10, minibatches=1, learning_rate=2e-3
    )
    found = score(train(lambda: SpeakerListener(128), config, seed=seed), SpeakerListener(512))
    print(f"MAPPO, speaker-listener, seed {seed}: {found:.2f}")
    assert found > -13
