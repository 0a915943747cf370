"""Gradient boosting by LightGBM, with crosses of the rank features and a share of a ridge beside it.

An interaction of two features has no marginal effect, so greedy splits find it late or never; the products
of the cross-sectional ranks (``crosses``) put it within reach of one split. Randomised thresholds
(``extra_trees``) and large leaves keep trees from fitting noise. The score is the trees' plus
``linear_share`` times a ridge's on the same rows: what is linear costs trees many splits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.models.families import ridge
from nofx_pipelines.models.families.lightgbm_trees import ZERO, Trees, flatten, tree_part
from nofx_pipelines.models.families.ridge import Ridge, RidgeParams
from nofx_pipelines.models.family import LIBRARIES, params_of
from nofx_pipelines.models.space import Parameter, SearchSpace
from nofx_pipelines.models.targets import Target, training_target

Array = NDArray[np.float64]

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

        parts = [tree_part(self.trees, self.crosses)]
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

        described = json.loads(files["model.json"])
        names = tuple(described["feature_names"])
        arrays = load(files["weights.safetensors"])
        linear = ridge.from_arrays(
            arrays, RidgeParams(**described["linear_params"]), names, described["clip"]
        )
        crosses = tuple((left, right) for left, right in described["crosses"])
        return Gbdt(described["lightgbm"], linear, crosses, GbdtParams(**described["params"]), names)


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


@dataclass(eq=False)
class _Rows:
    """Train rows, binned once for all fits with the same crosses and target."""

    train: Dataset
    crossed: bool
    kind: Target

    @cached_property
    def crosses(self) -> tuple[tuple[int, int], ...]:
        return crossed_pairs(self.train.feature_names) if self.crossed else ()

    @cached_property
    def target(self) -> Array:
        train = self.train
        return training_target(train.y, train.ts_close, train.instrument_id, self.kind)

    @cached_property
    def rows(self) -> Any:
        return binned(design(self.train.x, self.crosses), self.target, self.train.weight)

    @cached_property
    def linear(self) -> Ridge:
        train, params = self.train, RidgeParams(target=self.kind)
        return ridge.fit_target(train.x, self.target, train.weight, params, train.feature_names)


@dataclass(eq=False)
class GbdtFitter:
    """Models on the same rows, which are binned once for each choice of crosses and target."""

    train: Dataset
    _rows: dict[tuple[bool, Target], _Rows] = field(default_factory=dict, repr=False)

    def fit(self, params: Mapping[str, Any], seed: int) -> Gbdt:
        """The model that `fit` gives, bit for bit; raises ConfigError for an unknown parameter."""
        return self.grow(gbdt_params(params), seed)

    def grow(self, params: GbdtParams, seed: int) -> Gbdt:
        """Grow the trees and take the ridge that they stand on."""
        key = (params.crosses, params.target)
        shared = self._rows.setdefault(key, _Rows(self.train, *key))
        text = boost(shared.rows, params, seed)
        return Gbdt(text, shared.linear, shared.crosses, params, self.train.feature_names)


def fit(train: Dataset, params: GbdtParams | None = None, seed: int = 0) -> Gbdt:
    """Fit trees and ridge to the training target of ``train``, rows weighted by ``train.weight``.

    The same rows, parameters and seed give the same model, bit for bit.
    """
    return GbdtFitter(train).grow(params or GbdtParams(), seed)


def gbdt_params(params: Mapping[str, Any]) -> GbdtParams:
    """Parameters by name; what is not named keeps its default. Raises ConfigError for an unknown name.

    >>> gbdt_params({"trees": 50}).trees
    50
    """
    return params_of(GbdtParams, params, "gbdt")


def gbdt_space(defaults: GbdtParams | None = None) -> SearchSpace:
    """The gradient boosting's parameters, from nearly linear to deep; the defaults come first.

    The number of trees is searched instead of stopped early: on a valid set whose signal is a rank IC of
    a few hundredths, early stopping picks its noise. A fit on 15,000 rows and 25 features takes 0.03 to
    0.4 s on one thread.

    >>> [parameter.name for parameter in gbdt_space().parameters][:3]
    ['trees', 'learning_rate', 'max_depth']
    """
    first: Mapping[str, Any] = asdict(defaults or GbdtParams())
    parameters = (
        Parameter("trees", "int", 40, 240, log=True),
        Parameter("learning_rate", "float", 0.01, 0.12, log=True),
        Parameter("max_depth", "int", 2, 5),
        Parameter("min_leaf_share", "float", 0.005, 0.15, log=True),
        Parameter("feature_fraction", "float", 0.3, 1.0),
        Parameter("bagging_fraction", "float", 0.3, 0.9),
        Parameter("lambda_l2", "float", 1.0, 1_000.0, log=True),
        Parameter("extra_trees", "choice", choices=(True, False)),
        Parameter("crosses", "choice", choices=(True, False)),
        Parameter("linear_share", "float", 0.0, 1.0),
    )
    return SearchSpace("gbdt", parameters, tuple(first[parameter.name] for parameter in parameters))


@dataclass(frozen=True)
class GbdtFamily:
    """Gradient boosting, whose parameters are searched."""

    name: str = "gbdt"
    libraries: tuple[str, ...] = LIBRARIES

    def space(self) -> SearchSpace:
        """`gbdt_space`."""
        return gbdt_space()

    def fit(self, data: Dataset, params: Mapping[str, Any], seed: int, device: str) -> Gbdt:
        """Grown on one thread of the CPU."""
        return fit(data, gbdt_params(params), seed)

    def fitter(self, train: Dataset) -> GbdtFitter:
        """Shares binned rows and ridges between trials."""
        return GbdtFitter(train)

    def restore(self, files: Mapping[str, bytes]) -> Gbdt:
        """From ``weights.safetensors`` and ``model.json``."""
        return Gbdt.from_files(files)


FAMILY = GbdtFamily()
