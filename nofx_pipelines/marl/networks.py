"""Networks of all agents stacked: the parameters of A agents in one tensor, run as one batched product."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class StackedLinear(nn.Module):
    """A linear layer for each of A agents."""

    def __init__(
        self, agents: int, inputs: int, outputs: int, generator: torch.Generator, gain: float
    ) -> None:
        super().__init__()
        bound = gain * math.sqrt(3.0 / inputs)
        drawn = torch.rand(agents, inputs, outputs, generator=generator)
        self.weight = nn.Parameter((2 * drawn - 1) * bound)  # [A, in, out]
        self.bias = nn.Parameter(torch.zeros(agents, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """``[A, B, in]`` to ``[A, B, out]``."""
        return torch.baddbmm(self.bias, x, self.weight)


class StackedMLP(nn.Module):
    """A multi-layer perceptron for each of A agents; no agent's parameters touch another's.

    >>> net = StackedMLP(3, 4, (8,), 2, torch.Generator().manual_seed(1))
    >>> tuple(net(torch.zeros(5, 3, 4)).shape)
    (5, 3, 2)
    """

    def __init__(
        self,
        agents: int,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        generator: torch.Generator,
        *,
        last_gain: float = 0.1,
    ) -> None:
        super().__init__()
        sizes = [inputs, *hidden]
        self.hidden = nn.ModuleList(
            StackedLinear(agents, a, b, generator, gain=math.sqrt(2.0)) for a, b in itertools.pairwise(sizes)
        )
        self.last = StackedLinear(agents, sizes[-1], outputs, generator, gain=last_gain)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, A, in]`` to ``[B, A, out]``."""
        h = x.transpose(0, 1)
        for layer in self.hidden:
            h = torch.tanh(layer(h))
        return self.last(h).transpose(0, 1)


class Scale(nn.Module):
    """Running mean and variance of each agent's observation; applies them, cut at five deviations."""

    mean: Tensor
    square: Tensor
    count: Tensor

    def __init__(self, agents: int, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(agents, size, dtype=torch.float64))
        self.register_buffer("square", torch.ones(agents, size, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def update(self, observation: Tensor) -> None:
        """Take in observations ``[..., A, F]``."""
        flat = observation.reshape(-1, *self.mean.shape).double()
        count = self.count + len(flat)
        self.mean += (flat.mean(dim=0) - self.mean) * (len(flat) / count)
        self.square += (flat.square().mean(dim=0) - self.square) * (len(flat) / count)
        self.count.copy_(count)

    def forward(self, observation: Tensor) -> Tensor:
        """Standardised observations, the shape of ``observation``."""
        spread = (self.square - self.mean.square()).clamp_min(1e-6).sqrt()
        scaled = (observation - self.mean.float()) / spread.float()
        return scaled.clamp(-5.0, 5.0) if float(self.count) > 0 else observation


def gumbel(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Gumbel noise on the generator's device: an argmax of logits plus noise draws by the softmax."""
    drawn = torch.rand(*shape, generator=generator, device=generator.device)
    return -(-drawn.clamp(1e-9, 1 - 1e-7).log()).log()


def masked_logits(logits: Tensor, mask: Tensor) -> Tensor:
    """Logits with forbidden actions out of reach; an agent that has no legal one keeps all."""
    none = ~mask.any(dim=-1, keepdim=True)
    return torch.where(mask | none, logits, torch.full_like(logits, -1e9))
