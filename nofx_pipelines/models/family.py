"""What a model family is: it says what is searched, fits models to rows, and restores them from files.

A family is one file in ``models/families`` that assigns ``FAMILY``, or a plug-in of the home. A fitted model
carries its preprocessing: raw features in, scores out, the same from the registered ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.errors import ConfigError
from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.models.space import SearchSpace

Array = NDArray[np.float64]
Params = TypeVar("Params")

LIBRARIES = ("lightgbm", "numpy", "onnx", "torch")
"""The packages whose versions are recorded with a model of a built-in family."""


class FittedModel(Protocol):
    """A trained model with its preprocessing inside."""

    @property
    def family(self) -> str:
        """The name of the family that fitted it."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of ``x``, in order: those of the rows that it was fitted to."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The parameters as JSON values: fitting with them to the same rows gives the same model."""

    def predict(self, x: Array) -> Array:
        """Scores ``[N]``, finite, for raw features ``[N, F]``; NaN is a feature that is not known."""

    def to_onnx(self) -> bytes:
        """Input ``features`` float64 ``[N, F]``, output ``score`` float64 ``[N]``; same model, same bytes."""

    def files(self) -> dict[str, bytes]:
        """``weights.safetensors`` and ``model.json``: enough to restore the model and train further."""


class Family(Protocol):
    """A kind of model.

    A family may also have ``fitter(train: Dataset) -> Fitter``, a faster way for studies, whose trials are
    fitted to the same rows again and again.
    """

    @property
    def name(self) -> str:
        """Its own name; a plug-in goes by the name that ``nofx.toml`` gives it."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """Names of the distributions whose versions decide a model's weights, ``numpy`` for one."""

    def space(self) -> SearchSpace | None:
        """What a hyper-parameter study searches; None: the family has no study."""

    def fit(self, data: Dataset, params: Mapping[str, Any], seed: int, device: str) -> FittedModel:
        """Fit a model; the same rows, parameters, seed and device give the same bits.

        Parameters
        ----------
        data:
            Rows ``[N, F]`` in time order, not to be changed; `models.targets.training_target` makes their
            forward returns comparable across time.
        params:
            JSON values by name: some of the space's parameters, others at their defaults, or the `settings`
            of a model that is trained again. Unknown names are refused (`params_of`).
        seed:
            For whatever is random.
        device:
            ``cpu``, ``cuda`` or ``mps``. A family whose weights depend on it writes it into the model's
            `settings` and prefers what ``params`` say, so that a model is trained again where it was.
        """

    def restore(self, files: Mapping[str, bytes]) -> FittedModel:
        """The model whose `FittedModel.files` these are."""


class Fitter(Protocol):
    """A family's models on the same rows; what does not depend on the parameters is done once."""

    def fit(self, params: Mapping[str, Any], seed: int) -> FittedModel:
        """What `Family.fit` gives for these parameters and this seed, bit for bit."""


@dataclass(frozen=True, eq=False)
class RowsFitter:
    """The fitter of a family that shares nothing between fits."""

    family: Family
    train: Dataset
    device: str

    def fit(self, params: Mapping[str, Any], seed: int) -> FittedModel:
        """Fit to the rows from the beginning."""
        return self.family.fit(self.train, params, seed, self.device)


def fitter(family: Family, train: Dataset, device: str = "cpu") -> Fitter:
    """The family's own fitter of ``train``, or one that shares nothing."""
    own = getattr(family, "fitter", None)
    return RowsFitter(family, train, device) if own is None else own(train)


def params_of(kind: type[Params], params: Mapping[str, Any], family: str) -> Params:
    """A frozen dataclass of parameters from JSON values; what is not named keeps its default.

    Raises ConfigError for an unknown name.

    >>> @dataclass(frozen=True)
    ... class RidgeParams:
    ...     penalty: float = 0.3
    >>> params_of(RidgeParams, {"penalty": 1.0}, "ridge")
    RidgeParams(penalty=1.0)
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(params) - set(names))
    if unknown:
        raise ConfigError(
            f"model family {family} has no parameter {', '.join(unknown)}", hint=f"use {', '.join(names)}"
        )
    return kind(**params)
