"""Learned messages: each agent says a few words of a small vocabulary, which all others hear a step later.

Words are discrete and pass gradients straight through (Bengio, Léonard & Courville 2013), so the loss of
who hears reaches who speaks (Foerster et al. 2016). A message is made of the speaker's last observation
alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nofx_pipelines.marl.networks import StackedMLP, gumbel

Mode = Literal["learned", "silent", "detached", "shuffled"]


@dataclass(frozen=True)
class MessageConfig:
    """``words`` of a ``vocabulary``; 0 words: agents do not speak.

    ``silent`` hears zeros, ``detached`` passes no gradient, ``shuffled`` hears another copy's words: what
    learned messages have to beat.
    """

    words: int = 0
    vocabulary: int = 5
    hidden: int = 32
    mode: Mode = "learned"

    @property
    def size(self) -> int:
        """Numbers that one agent says."""
        return self.words * self.vocabulary


class Messenger(nn.Module):
    """Says and hears; ``[B, A, F]`` of the last step to ``[B, A, A * size]`` heard now."""

    def __init__(
        self, agents: int, observation: int, config: MessageConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config, self.agents = config, agents
        self.speaker = StackedMLP(
            agents, observation, (config.hidden,), config.size, generator, last_gain=1.0
        )
        self.register_buffer("others", 1.0 - torch.eye(agents))

    def logits(self, observation: Tensor) -> Tensor:
        """``[B, A, words, vocabulary]``."""
        said = self.speaker(observation)
        return said.reshape(*said.shape[:2], self.config.words, self.config.vocabulary)

    def say(self, observation: Tensor, noise: Tensor | None = None) -> Tensor:
        """One-hot words ``[B, A, size]``: the likeliest, or drawn by ``noise`` (Gumbel, as the logits)."""
        logits = self.logits(observation)
        if noise is not None:
            logits = logits + noise
        soft = logits.softmax(dim=-1)
        hard = F.one_hot(soft.argmax(dim=-1), self.config.vocabulary).float()
        words = hard + soft - soft.detach()
        return words.flatten(start_dim=2)

    def noise(self, copies: int, generator: torch.Generator) -> Tensor:
        """What draws the words of one step, ``[B, A, words, vocabulary]``."""
        return gumbel((copies, self.agents, self.config.words, self.config.vocabulary), generator)

    def hear(self, words: Tensor) -> Tensor:
        """What each agent hears of the others, ``[B, A, A * size]``; its own words are zero."""
        mode = self.config.mode
        if mode == "silent":
            words = torch.zeros_like(words)
        elif mode == "detached":
            words = words.detach()
        elif mode == "shuffled":
            words = words.roll(1, dims=0)
        spread = words[:, None] * self.others[None, :, :, None]  # type: ignore[index]
        return spread.flatten(start_dim=2)
