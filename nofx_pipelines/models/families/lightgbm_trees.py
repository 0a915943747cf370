"""A boosted ensemble as flat arrays, read out of LightGBM, and as a part of an ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.errors import ModelError
from nofx_pipelines.models.onnx_graph import INPUT, Part

ZERO = 1e-30
"""Smaller magnitudes count as zero, before LightGBM (whose own limit is 1e-35) and ONNX Runtime see them."""


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

    def node(self, split: dict[str, Any]) -> int:
        if split["decision_type"] != "<=":
            raise ModelError(f"a split of type {split['decision_type']!r} cannot be exported: only <= can")
        place, threshold = len(self.nodes), float(split["threshold"])
        # without NaN in training LightGBM reads NaN as zero; with it, the default side was learned
        learned = split["missing_type"] == "NaN"
        missing_left = bool(split["default_left"]) if learned else threshold >= 0.0
        self.nodes.append([split["split_feature"], threshold, int(missing_left)])
        self.nodes[place] += [*self.child(split["left_child"]), *self.child(split["right_child"])]
        return place

    def child(self, tree: dict[str, Any]) -> tuple[int, int]:
        if "leaf_value" in tree:
            return self.leaf(float(tree["leaf_value"])), 1
        return self.node(tree), 0

    def root(self, tree: dict[str, Any]) -> int:
        if "leaf_value" not in tree:
            return self.node(tree)
        only = self.leaf(float(tree["leaf_value"]))  # a tree that found no split
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


def tree_part(trees: Trees, crosses: Sequence[tuple[int, int]]) -> Part:
    """The boosted trees' score, crosses of features included."""
    from onnx import numpy_helper

    part = Part("trees")
    _design(part, crosses)
    part.then(
        "TreeEnsemble",
        part.output,
        name="sum",
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=1,
        post_transform=0,
        tree_roots=trees.roots.tolist(),
        nodes_featureids=trees.feature.tolist(),
        nodes_splits=numpy_helper.from_array(trees.threshold, "splits"),
        nodes_modes=numpy_helper.from_array(np.zeros(len(trees.feature), dtype=np.uint8), "modes"),
        nodes_missing_value_tracks_true=trees.missing_goes_left.tolist(),
        nodes_trueleafs=trees.left_is_leaf.tolist(),
        nodes_falseleafs=trees.right_is_leaf.tolist(),
        nodes_truenodeids=trees.left.tolist(),
        nodes_falsenodeids=trees.right.tolist(),
        leaf_targetids=[0] * len(trees.leaf_value),
        leaf_weights=numpy_helper.from_array(trees.leaf_value, "leaves"),
    )
    return part


def _design(part: Part, crosses: Sequence[tuple[int, int]]) -> None:
    """Features, their crosses, and zero for what LightGBM takes as zero: see ``gbdt.design``."""
    if crosses:
        left, right = (np.array(side, dtype=np.int64) for side in zip(*crosses, strict=True))
        first = part.then("Gather", INPUT, part.constant("left", left), name="first", axis=1)
        second = part.then("Gather", INPUT, part.constant("right", right), name="second", axis=1)
        part.then("Concat", INPUT, part.then("Mul", first, second, name="crosses"), name="design", axis=1)
    values = part.output
    tiny = part.then(
        "Less", part.then("Abs", values, name="size"), part.constant("zero_below", ZERO), name="tiny"
    )
    part.then("Where", tiny, part.constant("zero", 0.0), values, name="flushed")
