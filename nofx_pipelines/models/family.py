"""What every fitted model offers, whatever its family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class FittedModel(Protocol):
    """A trained model with its preprocessing inside."""

    @property
    def family(self) -> str:
        """``ridge`` or ``gbdt``."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of ``x``, in order."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The parameters that it was fitted with, as JSON values."""

    def predict(self, x: Array) -> Array:
        """Scores ``[N]`` for raw features ``[N, F]``; NaN is a feature that is not known."""

    def to_onnx(self) -> bytes:
        """Input ``features`` float64 ``[N, F]``, output ``score`` float64 ``[N]``; same model, same bytes."""

    def files(self) -> dict[str, bytes]:
        """``weights.safetensors`` and ``model.json``: enough to restore the model and train further."""
