"""A boosted ensemble as flat arrays, read out of LightGBM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.errors import ModelError


@dataclass(frozen=True, eq=False)
class Trees:
    """Split nodes of all trees one after the other: go left where ``value <= threshold``.

    ``left`` and ``right`` are leaf numbers where ``*_is_leaf`` is 1, else node numbers.
    """

    roots: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    missing_goes_left: NDArray[np.int64]
    left: NDArray[np.int64]
    left_is_leaf: NDArray[np.int64]
    right: NDArray[np.int64]
    right_is_leaf: NDArray[np.int64]
    leaf_value: NDArray[np.float64]


class _Flattener:
    """Collects nodes and leaves while walking LightGBM's nested description."""

    def __init__(self) -> None:
        self.nodes: list[list[Any]] = []  # feature, threshold, missing left, left, is leaf, right, is leaf
        self.leaves: list[float] = []

    def leaf(self, value: float) -> int:
        self.leaves.append(value)
        return len(self.leaves) - 1

    def node(self, found: dict[str, Any]) -> int:
        if found["decision_type"] != "<=":
            raise ModelError(f"a split of type {found['decision_type']!r} cannot be exported: only <= can")
        place, threshold = len(self.nodes), float(found["threshold"])
        # without NaN in training LightGBM reads NaN as zero; with it, the default side was learned
        learned = found["missing_type"] == "NaN"
        missing_left = bool(found["default_left"]) if learned else threshold >= 0.0
        self.nodes.append([found["split_feature"], threshold, int(missing_left)])
        self.nodes[place] += [*self.child(found["left_child"]), *self.child(found["right_child"])]
        return place

    def child(self, found: dict[str, Any]) -> tuple[int, int]:
        if "leaf_value" in found:
            return self.leaf(float(found["leaf_value"])), 1
        return self.node(found), 0

    def root(self, found: dict[str, Any]) -> int:
        if "leaf_value" not in found:
            return self.node(found)
        only = self.leaf(float(found["leaf_value"]))  # a tree that found no split
        self.nodes.append([0, 0.0, 1, only, 1, only, 1])
        return len(self.nodes) - 1


def flatten(booster: Any) -> Trees:
    """The trees of a ``lightgbm.Booster``; raises ModelError for splits on categories."""
    walk = _Flattener()
    roots = [walk.root(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]
    columns = list(zip(*walk.nodes, strict=True)) or [()] * 7
    whole = [np.array(column, dtype=np.int64) for place, column in enumerate(columns) if place != 1]
    feature, missing, left, left_leaf, right, right_leaf = whole
    return Trees(
        np.array(roots, dtype=np.int64),
        feature,
        np.array(columns[1], dtype=np.float64),
        missing,
        left,
        left_leaf,
        right,
        right_leaf,
        np.array(walk.leaves, dtype=np.float64),
    )
