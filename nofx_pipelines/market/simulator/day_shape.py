"""How volume and variance spread over the bars of one session."""

from __future__ import annotations

from typing import Any

import numpy as np

from nofx_pipelines.market.simulator.models import MarketModel

Floats = np.ndarray[Any, np.dtype[np.float64]]

_OPENING_MINUTES, _CLOSING_MINUTES = 20.0, 15.0


def volume_weights(model: MarketModel, minutes: Floats, lengths: Floats) -> Floats:
    """Share of the session's volume in each bar.

    ``minutes`` are the bars' mid-points in trading minutes since the open (UTC minutes of the day round
    the clock), ``lengths`` their minutes. A daily bar has all of it.

    >>> from nofx_pipelines.market.simulator.models import MODELS
    >>> shares = volume_weights(MODELS["cn"], np.arange(240) + 0.5, np.ones(240))
    >>> round(float(shares[:30].sum()), 2), round(float(shares[-30:].sum()), 2)
    (0.22, 0.15)
    """
    shape = model.shape
    if model.round_the_clock:
        weights = np.exp(shape.swing * np.cos(2 * np.pi * (minutes / 60 - shape.peak_hour) / 24))
    else:
        total = float(lengths.sum())
        weights = (
            1.0
            + shape.opening * np.exp(-minutes / _OPENING_MINUTES)
            + shape.closing * np.exp(-(total - minutes) / _CLOSING_MINUTES)
        )
    weights = weights * lengths
    return np.asarray(weights / weights.sum())


def variance_weights(model: MarketModel, volume: Floats, lengths: Floats) -> Floats:
    """Share of the session's variance in each bar; the first carries the night's too."""
    if len(volume) == 1:
        return np.ones(1)
    weights = np.sqrt(volume / lengths) * lengths
    weights = weights / weights.sum() * (1.0 - model.overnight_share)
    weights[0] += model.overnight_share
    return np.asarray(weights)
