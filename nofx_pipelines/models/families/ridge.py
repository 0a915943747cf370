"""Ridge regression on standardised features: the baseline every candidate has to beat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.models import preprocessing
from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.models.family import LIBRARIES, params_of
from nofx_pipelines.models.onnx_graph import INPUT, Part
from nofx_pipelines.models.preprocessing import Preprocessing
from nofx_pipelines.models.targets import Target, training_target

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RidgeParams:
    """``penalty`` is in units of the total weight, so that it means the same for any number of rows."""

    penalty: float = 0.3
    target: Target = "rank"


@dataclass(frozen=True, eq=False)
class Ridge:
    """``preprocess(x) @ coefficients + intercept``."""

    family: ClassVar[str] = "ridge"

    preprocessing: Preprocessing
    coefficients: Array  # [F]
    intercept: float
    params: RidgeParams
    feature_names: tuple[str, ...]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The parameters as JSON values."""
        return asdict(self.params)

    def predict(self, x: Array) -> Array:
        """Scores ``[N]`` for raw features ``[N, F]``."""
        return np.asarray(self.preprocessing.apply(x) @ self.coefficients + self.intercept)

    def to_onnx(self) -> bytes:
        """The model as ONNX, preprocessing inside."""
        from nofx_pipelines.models.onnx_graph import model_bytes

        return model_bytes([linear_part(self, share=1.0)], self.feature_names, self.family)

    def arrays(self) -> dict[str, Array]:
        """The weights by name."""
        return {
            "coefficients": self.coefficients,
            "intercept": np.array([self.intercept]),
            "median": self.preprocessing.median,
            "mean": self.preprocessing.mean,
            "scale": self.preprocessing.scale,
        }

    def files(self) -> dict[str, bytes]:
        """``weights.safetensors`` and ``model.json``."""
        from safetensors.numpy import save

        described = {
            "family": self.family,
            "params": self.settings,
            "feature_names": self.feature_names,
            "clip": self.preprocessing.clip,
        }
        text = json.dumps(described, sort_keys=True, indent=1).encode()
        return {"weights.safetensors": save(self.arrays()), "model.json": text}

    @staticmethod
    def from_files(files: Mapping[str, bytes]) -> Ridge:
        """Restore what :meth:`files` wrote, to the same bits."""
        from safetensors.numpy import load

        described = json.loads(files["model.json"])
        return from_arrays(
            load(files["weights.safetensors"]),
            RidgeParams(**described["params"]),
            tuple(described["feature_names"]),
            described["clip"],
        )


def from_arrays(
    arrays: Mapping[str, Array], params: RidgeParams, feature_names: tuple[str, ...], clip: float
) -> Ridge:
    """Put a ridge together from :meth:`Ridge.arrays`."""
    prepared = Preprocessing(arrays["median"], arrays["mean"], arrays["scale"], clip)
    return Ridge(prepared, arrays["coefficients"], float(arrays["intercept"][0]), params, feature_names)


def fit(train: Dataset, params: RidgeParams | None = None, seed: int = 0) -> Ridge:
    """Minimise the weighted squared error plus ``penalty · Σ weight · |coefficients|²``, in closed form.

    Rows are weighted by ``train.weight``; the intercept is not penalised. ``seed`` is not used: the
    solution is unique. One BLAS thread, so that the weights are the same bits on any number of cores.
    """
    params = params or RidgeParams()
    target = training_target(train.y, train.ts_close, train.instrument_id, params.target)
    return fit_target(train.x, target, train.weight, params, train.feature_names)


def fit_target(
    x: Array, target: Array, weight: Array, params: RidgeParams, feature_names: tuple[str, ...]
) -> Ridge:
    """Fit to a target that is already made."""
    from threadpoolctl import threadpool_limits

    prepared = preprocessing.fit(x)
    z, share = prepared.apply(x), weight / weight.sum()
    with threadpool_limits(limits=1, user_api="blas"):
        centre, level = share @ z, float(share @ target)
        centred = z - centre
        gram = centred.T @ (centred * share[:, None])
        moment = centred.T @ (share * (target - level))
        coefficients = np.linalg.solve(gram + params.penalty * np.eye(x.shape[1]), moment)
        intercept = level - float(centre @ coefficients)
    return Ridge(prepared, coefficients, intercept, params, feature_names)


def linear_part(ridge: Ridge, share: float) -> Part:
    """``share`` times the ridge's score."""
    part, prepared = Part("linear"), ridge.preprocessing
    missing = part.then("IsNaN", INPUT, name="missing")
    part.then("Where", missing, part.constant("median", prepared.median), INPUT, name="known")
    part.then("Sub", part.output, part.constant("mean", prepared.mean), name="centred")
    part.then("Div", part.output, part.constant("scale", prepared.scale), name="standard")
    low, high = part.constant("low", -prepared.clip), part.constant("high", prepared.clip)
    part.then("Clip", part.output, low, high, name="clipped")
    weights = part.constant("coefficients", share * ridge.coefficients[:, None])
    part.then("MatMul", part.output, weights, name="product")
    part.then("Add", part.output, part.constant("intercept", np.array([share * ridge.intercept])), name="sum")
    return part


@dataclass(frozen=True)
class RidgeFamily:
    """The baseline; nothing of it is searched."""

    name: str = "ridge"
    libraries: tuple[str, ...] = LIBRARIES

    def space(self) -> None:
        """No study of its own."""

    def fit(self, data: Dataset, params: Mapping[str, Any], seed: int, device: str) -> Ridge:
        """The closed form, on the CPU."""
        return fit(data, params_of(RidgeParams, params, self.name), seed)

    def restore(self, files: Mapping[str, bytes]) -> Ridge:
        """From ``weights.safetensors`` and ``model.json``."""
        return Ridge.from_files(files)


FAMILY = RidgeFamily()
