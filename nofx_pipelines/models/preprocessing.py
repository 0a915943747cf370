"""Imputation, standardisation and clipping of features, fitted on train rows only."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CLIP = 5.0
"""Standardised features are cut at this many standard deviations."""


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """``clip((impute(x, median) - mean) / scale, -clip, clip)``, feature by feature."""

    median: Array  # [F]
    mean: Array  # [F]
    scale: Array  # [F] above zero
    clip: float = CLIP

    def apply(self, x: Array) -> Array:
        """Preprocess ``x`` ``[N, F]``; NaN becomes the train's median."""
        imputed = np.where(np.isnan(x), self.median, x)
        with np.errstate(over="ignore"):  # a huge value is cut right after
            return np.clip((imputed - self.mean) / self.scale, -self.clip, self.clip)

    def to_json(self) -> str:
        """A JSON object from which :meth:`from_json` restores the same bits."""
        arrays = {name: getattr(self, name).tolist() for name in ("median", "mean", "scale")}
        return json.dumps({**arrays, "clip": self.clip}, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Preprocessing:
        """Restore what :meth:`to_json` wrote."""
        fields = json.loads(text)
        median, mean, scale = (
            np.asarray(fields[name], dtype=np.float64) for name in ("median", "mean", "scale")
        )
        return Preprocessing(median, mean, scale, float(fields["clip"]))


def fit(x: Array, clip: float = CLIP) -> Preprocessing:
    """Learn medians, means and standard deviations from train rows ``[N, F]``.

    A feature without any known value gets median 0; one that does not vary gets scale 1. Infinite values
    count as unknown here, and are cut like any large one when applied.

    >>> fit(np.array([[1.0], [np.nan], [3.0]])).apply(np.array([[np.nan], [2.0]])).tolist()
    [[0.0], [0.0]]
    """
    x = np.where(np.isinf(x), np.nan, x)
    median = np.zeros(x.shape[1])
    for column in np.flatnonzero(~np.isnan(x).all(axis=0)):
        median[column] = np.nanmedian(x[:, column])
    imputed = np.where(np.isnan(x), median, x)
    mean, deviation = imputed.mean(axis=0), imputed.std(axis=0)
    varies = deviation > 1e-12 * np.abs(imputed).max(axis=0, initial=0.0)
    return Preprocessing(median, mean, np.where(varies, deviation, 1.0), clip)
