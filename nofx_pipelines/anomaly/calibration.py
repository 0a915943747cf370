"""From a statistic to a p-value against a frozen reference: body by its ECDF, tail by a generalised Pareto.

The tail is fitted to the exceedances of the 98 % quantile (peaks over threshold; Siffer et al. 2017). The
largest of them count only as "at least that far": an anomaly that lies in the reference cannot stretch
the tail and hide the next one. The shape has a prior, because a few dozen exceedances do not fix it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from nofx_pipelines.anomaly.panel import Floats
from nofx_pipelines.errors import NotEnoughData

BODY = 0.98
"""Below this quantile p is read from the ECDF."""
CENSORED = 0.997
"""Above this quantile of the reference an exceedance counts as "at least that far"."""
SMALLEST = 100
"""Reference values below which nothing is calibrated."""
LARGEST = 200_000
"""Reference values that are sorted; more are thinned evenly."""
CAP = 15.0
"""Largest -log10 p that is reported."""
_SHAPE_PRIOR = (0.15, 0.15)
"""Mean and standard deviation of the tail's shape; returns have shapes of .1 to .3."""


@dataclass(frozen=True, eq=False)
class Tail:
    """One statistic's frozen reference; large values are unusual."""

    body: Floats
    """Reference values, ascending."""
    threshold: float
    shape: float
    scale: float

    @classmethod
    def fit(cls, reference: Floats) -> Tail:
        """The reference of the known values of ``reference`` (any shape).

        Raises NotEnoughData below ``SMALLEST`` values.

        >>> tail = Tail.fit(np.abs(np.random.default_rng(1).normal(size=20_000)))
        >>> [round(float(score), 1) for score in tail.score(np.array([0.674, 2.576, 3.891]))]
        [0.3, 2.0, 3.7]
        """
        known = np.sort(reference[np.isfinite(reference)], axis=None)
        if len(known) < SMALLEST:
            raise NotEnoughData(
                f"{len(known)} reference values are fewer than {SMALLEST}", hint="give a longer history"
            )
        body = known[:: -(-len(known) // LARGEST)]
        threshold, censor = np.quantile(body, (BODY, CENSORED))
        shape, scale = _censored_pareto(body[body > threshold] - threshold, float(censor - threshold))
        return cls(body, float(threshold), shape, scale)

    def score(self, statistic: Floats) -> Floats:
        """-log10 p of each value, the shape of ``statistic``; NaN stays NaN."""
        flat = np.ravel(statistic)
        known = np.isfinite(flat)
        at_least = len(self.body) - np.searchsorted(self.body, flat, side="left")
        tiny = 10.0**-CAP
        p = np.minimum((at_least + 1.0) / (len(self.body) + 1.0), 1.0)
        beyond = known & (flat > self.threshold)
        p[beyond] = (1 - BODY) * self._survival(flat[beyond] - self.threshold)
        scores = -np.log10(np.maximum(p, tiny))
        return np.where(known, scores, np.nan).reshape(np.shape(statistic))

    def quantile(self, neg_log10_p: float) -> float:
        """The statistic whose -log10 p is ``neg_log10_p``: the inverse of ``score``."""
        p = 10.0**-neg_log10_p
        if p >= 1 - BODY:
            return float(np.quantile(self.body, 1 - p))
        ratio = (1 - BODY) / p
        if self.shape < 1e-9:
            return self.threshold + self.scale * math.log(ratio)
        return self.threshold + self.scale / self.shape * (ratio**self.shape - 1)

    def parameters(self) -> dict[str, float]:
        """Reference values, threshold, shape and scale of the tail."""
        return {
            "values": len(self.body),
            "threshold": self.threshold,
            "shape": self.shape,
            "scale": self.scale,
        }

    def _survival(self, excess: Floats) -> Floats:
        if self.shape < 1e-9:
            return np.exp(-excess / self.scale)
        return np.power(1 + self.shape * excess / self.scale, -1 / self.shape)


def _censored_pareto(excess: Floats, censor: float) -> tuple[float, float]:
    """Shape (at least 0) and scale of a generalised Pareto, those beyond ``censor`` censored there.

    Maximum of the likelihood times a normal prior on the shape.
    """
    if len(excess) == 0 or censor <= 0:
        spread = float(np.mean(excess)) if len(excess) else 1.0
        return _SHAPE_PRIOR[0], max(spread, 1e-12)
    seen, hidden = excess[excess <= censor], int((excess > censor).sum())
    unit = float(np.mean(np.minimum(excess, censor)))
    start = np.array([_SHAPE_PRIOR[0], 0.0])
    found = minimize(
        _misfit,
        start,
        args=(seen / unit, censor / unit, hidden),
        method="L-BFGS-B",
        bounds=[(0.0, 0.6), (-5.0, 5.0)],
    )
    return float(found.x[0]), float(math.exp(found.x[1]) * unit)


def _misfit(at: Floats, seen: Floats, censor: float, hidden: int) -> float:
    """Minus the log of likelihood times prior at (shape, log scale)."""
    shape, scale = float(at[0]), math.exp(float(at[1]))
    prior = 0.5 * ((shape - _SHAPE_PRIOR[0]) / _SHAPE_PRIOR[1]) ** 2
    if shape < 1e-9:
        return float(len(seen) * at[1] + seen.sum() / scale + hidden * censor / scale + prior)
    logs = np.log1p(shape * seen / scale)
    beyond = math.log1p(shape * censor / scale)
    return float(len(seen) * at[1] + (1 + 1 / shape) * logs.sum() + hidden * beyond / shape + prior)
