"""The network of an architecture."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nofx_pipelines.models.networks.layers import layer
from nofx_pipelines.models.networks.shapes import infer
from nofx_pipelines.models.networks.spec import INPUT, ArchSpec


class Network(nn.Module):
    """Runs the nodes of ``spec`` in order; raises ModelError for one that cannot be built."""

    def __init__(self, spec: ArchSpec) -> None:
        super().__init__()
        infer(spec)
        self.spec = spec
        self.layers = nn.ModuleDict(
            {node.name: layer(node, spec.width, spec.features) for node in spec.nodes}
        )

    def forward(self, window: Tensor) -> Tensor:
        """Scores ``[B]`` of windows ``[B, L, C]``."""
        values: dict[str, Tensor] = {INPUT: window}
        for node in self.spec.nodes:
            inputs = [values[name] for name in node.inputs]
            if node.op == "add":
                values[node.name] = torch.stack(inputs).sum(dim=0)
            elif node.op == "last":
                values[node.name] = inputs[0][:, -1]
            elif node.op == "mean":
                values[node.name] = inputs[0].mean(dim=1)
            else:
                values[node.name] = self.layers[node.name](inputs[0])
        return values[self.spec.nodes[-1].name][:, 0]


def build(spec: ArchSpec, seed: int) -> Network:
    """The network with weights drawn from ``seed``, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(spec)


def count_parameters(network: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def state(network: Network) -> dict[str, NDArray[Any]]:
    """Weights and running statistics by name."""
    return {name: value.detach().numpy() for name, value in network.state_dict().items()}
