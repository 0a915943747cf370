"""Messages: gradients reach who speaks, and learned words beat silent, detached and shuffled ones."""

from __future__ import annotations

import pytest
import torch

from nofx_pipelines.marl.algorithms.mappo import MappoConfig, train
from nofx_pipelines.marl.communication import MessageConfig, Messenger, Mode
from nofx_pipelines.marl.games.referential import Referential
from nofx_pipelines.marl.policy import Policy, PolicyConfig
from tests.marl.play import score


def _policy(mode: Mode = "learned") -> Policy:
    config = PolicyConfig(
        hidden=(16,), message=MessageConfig(words=2, vocabulary=4, mode=mode), last_gain=1.0
    )
    return Policy(3, 5, 4, True, config, torch.Generator().manual_seed(1))


def _loss_of(policy: Policy, agent: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    now, before = (torch.randn(16, 3, 5, generator=generator) for _ in range(2))
    logits = policy.logits(now, torch.ones(16, 3, 4, dtype=torch.bool), before, policy.noise(16, generator))
    return logits[:, agent].square().sum()


def test_the_hearer_s_loss_reaches_every_speaker_but_itself() -> None:
    policy = _policy()
    _loss_of(policy, agent=1).backward()
    assert policy.messenger is not None
    gradient = policy.messenger.speaker.last.weight.grad
    assert gradient[0].abs().sum() > 0
    assert gradient[2].abs().sum() > 0
    assert gradient[1].abs().sum() == 0


@pytest.mark.parametrize("mode", ["silent", "detached"])
def test_silent_and_detached_words_pass_no_gradient(mode: Mode) -> None:
    policy = _policy(mode)
    _loss_of(policy, agent=1).backward()
    assert policy.messenger is not None
    gradient = policy.messenger.speaker.last.weight.grad
    assert gradient is None or gradient.abs().sum() == 0


def test_words_are_words_of_the_vocabulary() -> None:
    messenger = Messenger(2, 3, MessageConfig(words=2, vocabulary=4), torch.Generator().manual_seed(1))
    said = messenger.say(torch.randn(6, 2, 3), messenger.noise(6, torch.Generator().manual_seed(2)))
    words = said.reshape(6, 2, 2, 4)
    torch.testing.assert_close(words.sum(dim=-1), torch.ones(6, 2, 2))
    assert set(words.detach().round().unique().tolist()) == {0.0, 1.0}


def test_nobody_hears_itself() -> None:
    messenger = Messenger(3, 2, MessageConfig(words=1, vocabulary=2), torch.Generator().manual_seed(1))
    heard = messenger.hear(torch.ones(1, 3, 2)).reshape(3, 3, 2)
    assert heard.sum(dim=-1).tolist() == [[0, 2, 2], [2, 0, 2], [2, 2, 0]]


def test_nothing_is_heard_at_an_episode_s_start() -> None:
    policy = _policy()
    now, before = torch.randn(4, 3, 5), torch.randn(4, 3, 5)
    mask = torch.ones(4, 3, 4, dtype=torch.bool)
    silent = policy.logits(now, mask, before, None, torch.tensor([True, False, True, False]))
    torch.testing.assert_close(silent[1::2], policy.logits(now, mask)[1::2])
    torch.testing.assert_close(silent[::2], policy.logits(now, mask, before)[::2])


def test_learned_words_beat_silent_detached_and_shuffled_ones() -> None:
    """One in five without a message; sampled words, as they were trained."""
    found = {}
    for mode in ("learned", "silent", "detached", "shuffled"):
        policy = PolicyConfig(hidden=(32,), message=MessageConfig(words=1, mode=mode))  # type: ignore[arg-type]
        config = MappoConfig(iterations=100, horizon=2, learning_rate=3e-3, policy=policy)
        trained = train(lambda: Referential(128), config, seed=4)
        found[mode] = score(trained, Referential(2_000), greedy=False)
    assert found["learned"] > 0.77
    assert found["silent"] < 0.25
    assert found["shuffled"] < 0.25
    assert found["detached"] < 0.45
