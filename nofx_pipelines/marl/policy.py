"""The policy of all agents: stacked actors on scaled observations and on what the others said.

An algorithm trains it and nothing else; it acts, it is stored as arrays, and it is exported.

>>> config = PolicyConfig(hidden=(8,))
>>> policy = Policy(2, 3, 4, True, config, torch.Generator().manual_seed(1))
>>> observation, mask = torch.zeros(5, 2, 3), torch.ones(5, 2, 4, dtype=torch.bool)
>>> policy.act(observation, mask).shape
torch.Size([5, 2])
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from nofx_pipelines.errors import DataError
from nofx_pipelines.marl.communication import MessageConfig, Messenger
from nofx_pipelines.marl.networks import Scale, StackedMLP, gumbel, masked_logits


@dataclass(frozen=True)
class PolicyConfig:
    """The actors' layers and what they say."""

    hidden: tuple[int, ...] = (64, 64)
    last_gain: float = 0.1
    """Of the last layer's first weights: how decided a new policy is."""
    message: MessageConfig = field(default_factory=MessageConfig)


class Policy(nn.Module):
    """A agents; observations ``[E, A, F]``, actions ``[E, A]`` (discrete) or ``[E, A, D]`` in [-1, 1]."""

    def __init__(
        self,
        agents: int,
        observation: int,
        actions: int,
        discrete: bool,
        config: PolicyConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.agents, self.observation, self.actions = agents, observation, actions
        self.discrete, self.config = discrete, config
        self.scale = Scale(agents, observation)
        words = config.message
        self.messenger = Messenger(agents, observation, words, generator) if words.words else None
        heard = agents * words.size
        self.actor = StackedMLP(
            agents, observation + heard, config.hidden, actions, generator, last_gain=config.last_gain
        )

    def logits(
        self,
        observation: Tensor,
        mask: Tensor,
        before: Tensor | None = None,
        noise: Tensor | None = None,
        spoken: Tensor | None = None,
    ) -> Tensor:
        """Masked logits ``[B, A, K]``, or unbounded actions ``[B, A, D]``.

        ``before`` ``[B, A, F]``: the observation of the last step, of which messages are made; None at an
        episode's start. ``noise`` draws the words (see ``communication``). ``spoken`` ``[B]``: False for rows
        at an episode's start, where nothing was said.
        """
        x = self.scale(observation)
        if self.messenger is not None:
            heard = torch.zeros(*x.shape[:2], self.agents * self.config.message.size, device=x.device)
            if before is not None:
                heard = self.messenger.hear(self.messenger.say(self.scale(before), noise))
                if spoken is not None:
                    heard = heard * spoken[:, None, None]
            x = torch.cat([x, heard], dim=-1)
        found = self.actor(x)
        return masked_logits(found, mask) if self.discrete else found

    def noise(self, copies: int, generator: torch.Generator | None) -> Tensor | None:
        """What draws the words of one step; None without words or generator."""
        if self.messenger is None or generator is None:
            return None
        return self.messenger.noise(copies, generator)

    @torch.no_grad()
    def act(
        self,
        observation: Tensor,
        mask: Tensor,
        generator: torch.Generator | None = None,
        *,
        before: Tensor | None = None,
    ) -> Tensor:
        """Actions: drawn with a generator, else the likeliest. Raises DataError for NaN in an observation."""
        require_finite(observation)
        logits = self.logits(observation, mask, before, self.noise(len(observation), generator))
        if not self.discrete:
            return torch.tanh(logits)
        return (logits if generator is None else logits + gumbel(logits.shape, generator)).argmax(dim=-1)


def require_finite(observation: Tensor) -> None:
    """Raises DataError naming the agent whose observation is not finite."""
    bad = ~torch.isfinite(observation)
    if bad.any():
        copy, agent, place = (int(k) for k in bad.nonzero()[0])
        value = float(observation[copy, agent, place])
        raise DataError(
            f"observation {place} of agent {agent} in copy {copy} is {value}",
            kept="no action was taken",
            hint="leave out bars without prices before the environment is made",
        )
