"""Shapes, parameters and multiply-adds of an architecture, worked out before anything is built."""

from __future__ import annotations

from dataclasses import dataclass

from nofx_pipelines.errors import ModelError
from nofx_pipelines.models.networks.spec import ACTIVATIONS, ArchSpec, Node

FEED_FORWARD = 2
"""A transformer's inner layer is so many times as wide."""


@dataclass(frozen=True)
class Cost:
    """A node's output ``[B, length, width]`` (length 0: ``[B, width]``), parameters and FLOPs a row.

    A multiplication and an addition are two FLOPs; activations, norms and softmax count one a number.
    """

    length: int
    width: int
    params: int
    flops: int


def infer(spec: ArchSpec) -> dict[str, Cost]:
    """The cost of every node, by name; raises ModelError for an architecture that cannot be built."""
    costs: dict[str, Cost] = {"input": Cost(spec.lookback, spec.features, 0, 0)}
    for node in spec.nodes:
        for name in node.inputs:
            if name not in costs:
                raise ModelError(
                    f"node {node.name} reads {name}, which does not come before it", kept="nothing was built"
                )
        costs[node.name] = _cost(spec, node, [costs[name] for name in node.inputs])
    if spec.nodes[-1].op != "score":
        raise ModelError(f"the last node is {spec.nodes[-1].op}, not score", kept="nothing was built")
    return costs


def total(spec: ArchSpec) -> tuple[int, int]:
    """Parameters and FLOPs a row of the whole network."""
    found = infer(spec).values()
    return sum(cost.params for cost in found), sum(cost.flops for cost in found)


def _cost(spec: ArchSpec, node: Node, inputs: list[Cost]) -> Cost:
    first, length, d = inputs[0], inputs[0].length, spec.width
    if node.op not in ("project", "score", "last", "mean") and first.width != d:
        raise ModelError(f"node {node.name} needs width {d}, not {first.width}", kept="nothing was built")
    numbers = length * first.width
    match node.op:
        case "project":
            return Cost(length, d, first.width * d + d, 2 * length * first.width * d)
        case "dense":
            return Cost(length, d, d * d + d, 2 * length * d * d)
        case "conv1d":
            kernel = node.get("kernel")
            return Cost(length, d, kernel * d * d + d, 2 * length * kernel * d * d)
        case "lstm" | "gru":
            gates = 4 if node.op == "lstm" else 3
            return Cost(length, d, gates * (2 * d * d + 2 * d), 2 * length * gates * 2 * d * d)
        case "attention":
            _require_heads(node, d)
            return Cost(length, d, 4 * (d * d + d), _attention_flops(length, d))
        case "transformer":
            _require_heads(node, d)
            inner = FEED_FORWARD * d
            params = 4 * (d * d + d) + (d * inner + inner) + (inner * d + d) + 4 * d
            flops = _attention_flops(length, d) + 4 * length * d * inner + 2 * numbers + length * inner
            return Cost(length, d, params, flops)
        case "pooling":
            return Cost(length, d, 0, numbers * node.get("kernel"))
        case "batch_norm" | "layer_norm":
            return Cost(length, d, 2 * d, numbers)
        case "dropout":
            return Cost(length, d, 0, 0)
        case "add":
            if len({(cost.length, cost.width) for cost in inputs}) != 1:
                raise ModelError(f"node {node.name} adds different shapes", kept="nothing was built")
            return Cost(length, d, 0, numbers)
        case "last" | "mean":
            return Cost(0, first.width, 0, numbers if node.op == "mean" else 0)
        case "score":
            if length:
                raise ModelError("the score reads a window that was not read out", kept="nothing was built")
            return Cost(0, 1, first.width + 1, 2 * first.width)
        case op if op in ACTIVATIONS:
            return Cost(length, d, 0, numbers)
        case _:
            raise ModelError(
                f"node {node.name} has an unknown operation {node.op!r}", kept="nothing was built"
            )


def _attention_flops(length: int, d: int) -> int:
    """Four projections, scores, softmax and the weighted sum."""
    return 4 * 2 * length * d * d + 2 * 2 * length * length * d + length * length


def _require_heads(node: Node, width: int) -> None:
    if width % node.get("heads"):
        raise ModelError(
            f"node {node.name}: {node.get('heads')} heads do not divide width {width}",
            kept="nothing was built",
        )
