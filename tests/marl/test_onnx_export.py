"""The exported policy acts as the trained one does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nofx_pipelines.marl.communication import MessageConfig, Mode
from nofx_pipelines.marl.onnx_export import OnnxPolicy, policy_bytes
from nofx_pipelines.marl.policy import Policy, PolicyConfig
from nofx_pipelines.marl.policy_files import policy_files, restore_policy

NAMES = ("a", "b", "c")


def _policy(discrete: bool, words: int = 0, mode: Mode = "learned", scaled: bool = True) -> Policy:
    generator = torch.Generator().manual_seed(4)
    message = MessageConfig(words=words, vocabulary=4, mode=mode)
    policy = Policy(3, 6, 5, discrete, PolicyConfig((16, 8), 1.0, message), generator)
    if scaled:
        policy.scale.update(torch.randn(200, 3, 6, generator=generator) * 3 + 1)
    return policy.eval()


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize(
    ("discrete", "words", "mode"),
    [
        (True, 0, "learned"),
        (False, 0, "learned"),
        (True, 2, "learned"),
        (True, 1, "silent"),
        (False, 1, "learned"),
    ],
)
def test_actions_are_the_policy_s(discrete: bool, words: int, mode: Mode, scaled: bool) -> None:
    policy = _policy(discrete, words, mode, scaled)
    generator = torch.Generator().manual_seed(6)
    now, before = (torch.randn(300, 3, 6, generator=generator) * 2 for _ in range(2))
    mask = torch.rand(300, 3, 5, generator=generator) > 0.4
    mask[0] = False
    exported = OnnxPolicy(policy_bytes(policy, NAMES))
    assert exported.agents == NAMES
    for earlier in (before, None) if words else (None,):
        ours = policy.act(now, mask, before=earlier).numpy()
        theirs = exported.act(now.numpy(), mask.numpy(), None if earlier is None else earlier.numpy())
        if discrete:
            assert (ours == theirs).mean() > 0.999  # a tie within rounding may go the other way
        else:
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_same_policy_gives_the_same_bytes() -> None:
    assert policy_bytes(_policy(True, 1), NAMES) == policy_bytes(_policy(True, 1), NAMES)


def test_files_restore_the_same_policy() -> None:
    policy = _policy(True, 2)
    again = restore_policy(policy_files(policy, NAMES))
    assert policy_bytes(again, NAMES) == policy_bytes(policy, NAMES)
