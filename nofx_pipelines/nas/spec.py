"""An architecture as data: nodes in topological order, from a window of features to one score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA = 1
INPUT = "input"
ACTIVATIONS = ("relu", "gelu", "swish", "mish", "selu", "tanh", "sigmoid", "leaky_relu")
LAYERS = ("dense", "conv1d", "lstm", "gru", "attention", "transformer", "pooling")
"""Operations that work on ``[B, L, D]`` and keep that shape."""
OPS = (
    *LAYERS,
    *ACTIVATIONS,
    "batch_norm",
    "layer_norm",
    "dropout",
    "add",
    "project",
    "last",
    "mean",
    "score",
)


@dataclass(frozen=True)
class Node:
    """One operation: its name, parameters (sorted by name) and the nodes that it reads."""

    name: str
    op: str
    params: tuple[tuple[str, float | int | str], ...] = ()
    inputs: tuple[str, ...] = (INPUT,)

    def get(self, name: str) -> Any:
        """A parameter's value."""
        return dict(self.params)[name]


@dataclass(frozen=True)
class ArchSpec:
    """A network that maps a window ``[B, L, C]`` to a score ``[B]``; its last node is the score.

    ``lookback`` L are bars, ``features`` C columns. ``width`` D is what every layer keeps.
    """

    lookback: int
    features: int
    width: int
    nodes: tuple[Node, ...]
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Canonical JSON: the same architecture gives the same text."""
        nodes = [
            {"name": n.name, "op": n.op, "params": dict(n.params), "inputs": list(n.inputs)}
            for n in self.nodes
        ]
        found = {
            "schema": self.schema,
            "lookback": self.lookback,
            "features": self.features,
            "width": self.width,
            "nodes": nodes,
        }
        return json.dumps(found, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> ArchSpec:
        """Read what ``to_json`` wrote."""
        found = json.loads(text)
        nodes = tuple(
            Node(n["name"], n["op"], sorted_params(n["params"]), tuple(n["inputs"])) for n in found["nodes"]
        )
        return ArchSpec(found["lookback"], found["features"], found["width"], nodes, found["schema"])

    @property
    def arch_hash(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def sorted_params(params: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Parameters in the order of their names.

    >>> sorted_params({"kernel": 3, "a": 1})
    (('a', 1), ('kernel', 3))
    """
    return tuple(sorted(params.items()))
