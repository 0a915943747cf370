"""What is worked out beforehand against what is built: by hand, by torch's counter, on meta tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nofx_pipelines.models.networks.network import Network, build, count_parameters
from nofx_pipelines.models.networks.shapes import FEED_FORWARD, Cost, infer, total
from nofx_pipelines.models.networks.spec import ArchSpec
from nofx_pipelines.nas.space import SearchSpace

SPACE = SearchSpace(features=5)


def _spec(seed: int) -> ArchSpec:
    return SPACE.decode(SPACE.random(np.random.default_rng(seed)))


def test_multiplications_and_additions_are_those_that_torch_counts() -> None:
    for seed in range(150):
        spec = _spec(seed)
        counter = FlopCounterMode(display=False)
        # fused kernels (oneDNN's LSTM) hide their products from the counter
        with torch.backends.mkldnn.flags(enabled=False), torch.no_grad(), counter:  # type: ignore[no-untyped-call]
            build(spec, seed).eval()(torch.randn(1, spec.lookback, spec.features))
        assert _products(spec) == counter.get_total_flops(), spec.to_json()


def _products(spec: ArchSpec) -> int:
    """FLOPs without those of activations, norms, softmax and pooling, which torch does not count."""
    costs, found, d = infer(spec), 0, spec.width
    for node in spec.nodes:
        length, flops = costs[node.inputs[0]].length, costs[node.name].flops
        if node.op in ("project", "dense", "conv1d", "lstm", "gru", "score"):
            found += flops
        elif node.op == "attention":
            found += flops - length * length
        elif node.op == "transformer":
            found += flops - length * length - 2 * length * d - length * FEED_FORWARD * d
    return found


def test_every_node_has_the_shape_that_was_worked_out() -> None:
    for seed in range(300):
        spec = _spec(seed)
        costs, seen = infer(spec), dict[str, tuple[int, ...]]()
        with torch.device("meta"):
            network = Network(spec).eval()
            for name, module in network.layers.items():
                module.register_forward_hook(_keep(seen, name))
            network(torch.empty(3, spec.lookback, spec.features))
        assert count_parameters(network) == total(spec)[0]
        for name, shape in seen.items():
            assert shape == _shape(costs[name]), (name, spec.to_json())


def _keep(seen: dict[str, tuple[int, ...]], name: str):  # type: ignore[no-untyped-def]
    def hook(_module: object, _inputs: object, output: torch.Tensor) -> None:
        seen[name] = tuple(output.shape)

    return hook


def _shape(cost: Cost) -> tuple[int, ...]:
    return (3, cost.length, cost.width) if cost.length else (3, cost.width)


def test_flops_by_hand() -> None:
    """A window of 10 bars and 5 features, width 8, one dense layer with relu."""
    genes = [0] * len(SPACE.decisions)
    genes[SPACE.places["lookback"]] = SPACE.lookbacks.index(10)
    costs = infer(SPACE.decode(genes))
    assert costs["project"].flops == 2 * 10 * 5 * 8
    assert costs["layer_0"].flops == 2 * 10 * 8 * 8
    assert costs["activation_0"].flops == 80
    assert costs["score"].flops == 16
    assert (costs["layer_0"].length, costs["layer_0"].width, costs["score"].params) == (10, 8, 9)


@pytest.mark.parametrize(
    ("op", "params"),
    [
        ("lstm", 4 * (8 * 8 + 8 * 8 + 8 + 8)),
        ("gru", 3 * (8 * 8 + 8 * 8 + 8 + 8)),
        ("attention", 4 * (8 * 8 + 8)),
        ("transformer", 4 * (8 * 8 + 8) + 8 * 16 + 16 + 16 * 8 + 8 + 2 * 2 * 8),
        ("conv1d", 3 * 8 * 8 + 8),
        ("dense", 8 * 8 + 8),
        ("pooling", 0),
    ],
)
def test_parameters_by_hand(op: str, params: int) -> None:
    genes = [0] * len(SPACE.decisions)
    genes[SPACE.places["lookback"]] = SPACE.lookbacks.index(10)
    place = SPACE.places["op_0"]
    genes[place] = SPACE.decisions[place].values.index(op)
    assert infer(SPACE.decode(genes))["layer_0"].params == params
