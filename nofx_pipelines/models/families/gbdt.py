"""Gradient boosting by LightGBM, with crosses of the rank features and a share of a ridge beside it.

An interaction of two features has no marginal effect, so greedy splits find it late or never; the products
of the cross-sectional ranks (``crosses``) put it within reach of one split. Randomised thresholds
(``extra_trees``) and large leaves keep trees from fitting noise. The score is the trees' plus
``linear_share`` times a ridge's on the same rows: what is linear costs trees many splits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.models.families import ridge
from nofx_pipelines.models.families.lightgbm_trees import Trees, flatten
from nofx_pipelines.models.families.ridge import Ridge, RidgeParams
from nofx_pipelines.models.onnx_graph import INPUT, Part
from nofx_pipelines.models.targets import Target, training_target

Array = NDArray[np.float64]

ZERO = 1e-30
"""Smaller magnitudes count as zero, before LightGBM (whose own limit is 1e-35) and ONNX Runtime see them."""
CROSSED_PREFIX = "rank_"
_CROSSED_FEATURES = 8
_MAX_BIN = 63
_SMALLEST_LEAF = 20


@dataclass(frozen=True)
class GbdtParams:
    """What is searched; the values here are the study's first trial.

    ``min_leaf_share`` is the share of the train rows that a leaf holds at least.
    """

    trees: int = 120
    learning_rate: float = 0.04
    max_depth: int = 3
    min_leaf_share: float = 0.04
    feature_fraction: float = 0.6
    bagging_fraction: float = 0.6
    lambda_l2: float = 10.0
    extra_trees: bool = True
    crosses: bool = True
    linear_share: float = 0.5
    target: Target = "rank"


@dataclass(frozen=True, eq=False)
class Gbdt:
    """Trees on raw features and their crosses, plus a share of a ridge."""

    family: ClassVar[str] = "gbdt"

    text: str
    """LightGBM's own text form of the trees."""
    linear: Ridge
    crosses: tuple[tuple[int, int], ...]
    params: GbdtParams
    feature_names: tuple[str, ...]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The parameters as JSON values."""
        return asdict(self.params)

    @cached_property
    def booster(self) -> Any:
        """The trees as a ``lightgbm.Booster``."""
        import lightgbm

        return lightgbm.Booster(model_str=self.text)

    @cached_property
    def trees(self) -> Trees:
        """The trees as flat arrays."""
        return flatten(self.booster)

    def predict(self, x: Array) -> Array:
        """Scores ``[N]`` for raw features ``[N, F]``."""
        score = np.asarray(self.booster.predict(design(x, self.crosses), num_threads=1))
        if self.params.linear_share:
            score = score + self.params.linear_share * self.linear.predict(x)
        return score

    def to_onnx(self) -> bytes:
        """The model as ONNX, crosses and the ridge's preprocessing inside."""
        from nofx_pipelines.models.onnx_graph import model_bytes

        parts = [tree_part(self)]
        if self.params.linear_share:
            parts.append(ridge.linear_part(self.linear, self.params.linear_share))
        return model_bytes(parts, self.feature_names, self.family)

    def files(self) -> dict[str, bytes]:
        """``weights.safetensors`` (the ridge) and ``model.json`` (LightGBM's text, parameters)."""
        from safetensors.numpy import save

        described = {
            "family": self.family,
            "params": self.settings,
            "linear_params": self.linear.settings,
            "feature_names": self.feature_names,
            "crosses": self.crosses,
            "clip": self.linear.preprocessing.clip,
            "lightgbm": self.text,
        }
        text = json.dumps(described, sort_keys=True, indent=1).encode()
        return {"weights.safetensors": save(self.linear.arrays()), "model.json": text}

    @staticmethod
    def from_files(files: Mapping[str, bytes]) -> Gbdt:
        """Restore what :meth:`files` wrote."""
        from safetensors.numpy import load

        found = json.loads(files["model.json"])
        names = tuple(found["feature_names"])
        arrays = load(files["weights.safetensors"])
        linear = ridge.from_arrays(arrays, RidgeParams(**found["linear_params"]), names, found["clip"])
        crosses = tuple((left, right) for left, right in found["crosses"])
        return Gbdt(found["lightgbm"], linear, crosses, GbdtParams(**found["params"]), names)


def crossed_pairs(feature_names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Pairs of the first eight ``rank_…`` columns.

    >>> crossed_pairs(("rank_a", "b", "rank_c"))
    ((0, 2),)
    """
    ranks = [place for place, name in enumerate(feature_names) if name.startswith(CROSSED_PREFIX)]
    return tuple(combinations(ranks[:_CROSSED_FEATURES], 2))


def design(x: Array, crosses: tuple[tuple[int, int], ...]) -> Array:
    """What the trees see: ``x`` ``[N, F]``, the crosses' products ``[N, P]``, tiny values as zero."""
    whole = np.asarray(x, dtype=np.float64)
    if crosses:
        left, right = (list(side) for side in zip(*crosses, strict=True))
        with np.errstate(over="ignore", invalid="ignore"):
            whole = np.concatenate([whole, whole[:, left] * whole[:, right]], axis=1)
    return np.where(np.abs(whole) < ZERO, 0.0, whole)


def binned(designed: Array, target: Array, weight: Array) -> Any:
    """A ``lightgbm.Dataset`` that any number of trials can share; weights are scaled to mean 1."""
    import lightgbm

    params = {"max_bin": _MAX_BIN, "feature_pre_filter": False, "verbosity": -1, "num_threads": 1}
    relative = weight / weight.mean()
    return lightgbm.Dataset(designed, target, weight=relative, params=params).construct()


def boost(rows: Any, params: GbdtParams, seed: int) -> str:
    """Grow the trees on binned rows and return LightGBM's text; the same bits for the same seed."""
    import lightgbm

    settings = {
        "objective": "regression",
        "learning_rate": params.learning_rate,
        "max_depth": params.max_depth,
        "num_leaves": min(2**params.max_depth, 31),
        "min_data_in_leaf": max(_SMALLEST_LEAF, round(params.min_leaf_share * rows.num_data())),
        "feature_fraction": params.feature_fraction,
        "bagging_fraction": params.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": params.lambda_l2,
        "extra_trees": params.extra_trees,
        "max_bin": _MAX_BIN,
        "feature_pre_filter": False,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "seed": seed % 2**31,
        "verbosity": -1,
    }
    return str(lightgbm.train(settings, rows, num_boost_round=params.trees).model_to_string())


def fit(train: Dataset, params: GbdtParams | None = None, seed: int = 0) -> Gbdt:
    """Fit trees and ridge to the training target of ``train``, rows weighted by ``train.weight``.

    The same rows, parameters and seed give the same model, bit for bit.
    """
    chosen = params or GbdtParams()
    target = training_target(train.y, train.ts_close, train.instrument_id, chosen.target)
    crosses = crossed_pairs(train.feature_names) if chosen.crosses else ()
    text = boost(binned(design(train.x, crosses), target, train.weight), chosen, seed)
    linear_params = RidgeParams(target=chosen.target)
    linear = ridge.fit_target(train.x, target, train.weight, linear_params, train.feature_names)
    return Gbdt(text, linear, crosses, chosen, train.feature_names)


def tree_part(model: Gbdt) -> Part:
    """The boosted trees' score, crosses of features included."""
    from onnx import numpy_helper

    part, trees = Part("trees"), model.trees
    _design(part, model.crosses)
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
