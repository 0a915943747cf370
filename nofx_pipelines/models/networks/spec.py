"""An architecture as data: nodes in topological order, from a window of features to one score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nofx_pipelines.errors import ModelError

SCHEMA = 2
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

    ``lookback`` L are bars, ``features`` C columns. ``width`` D is what every layer keeps. The score is for
    ``task`` (``rank``: order the instruments by their return over the next ``horizon`` bars).
    """

    lookback: int
    features: int
    width: int
    nodes: tuple[Node, ...]
    horizon: int = 1
    task: str = "rank"
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Canonical JSON: the same architecture gives the same text."""
        nodes = [
            {"name": n.name, "op": n.op, "params": dict(n.params), "inputs": list(n.inputs)}
            for n in self.nodes
        ]
        found = {
            "schema": self.schema,
            "task": self.task,
            "horizon": self.horizon,
            "lookback": self.lookback,
            "features": self.features,
            "width": self.width,
            "nodes": nodes,
        }
        return json.dumps(found, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> ArchSpec:
        """Read what ``to_json`` wrote; raises ModelError for another schema's text."""
        found = json.loads(text)
        if found["schema"] != SCHEMA:
            raise ModelError(
                f"this architecture has schema {found['schema']}; this code reads schema {SCHEMA}",
                kept="nothing was built",
                hint="search again: nofx run",
            )
        nodes = tuple(
            Node(n["name"], n["op"], sorted_params(n["params"]), tuple(n["inputs"])) for n in found["nodes"]
        )
        return ArchSpec(
            found["lookback"],
            found["features"],
            found["width"],
            nodes,
            found["horizon"],
            found["task"],
        )

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
