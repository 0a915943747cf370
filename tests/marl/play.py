"""Playing a policy."""

from __future__ import annotations

import torch

from nofx_pipelines.marl.environment import Environment
from nofx_pipelines.marl.policy import Policy


def score(
    policy: Policy, environment: Environment, *, seed: int = 99, episodes: int = 4, greedy: bool = True
) -> float:
    """Mean over copies, agents and episodes of the sum of rewards."""
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for _ in range(episodes):
        step, before = environment.reset(generator), None
        while True:
            action = policy.act(
                step.observation, step.action_mask, None if greedy else generator, before=before
            )
            before = step.observation
            step = environment.step(action)
            total += float(step.reward.mean())
            if bool(step.done.all()):
                break
    return total / episodes
