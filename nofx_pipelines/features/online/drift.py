"""Drift of features: the population stability index of the newest sessions against those before.

PSI is the sum over bins of (p - q) ln(p / q), the bins being deciles of the reference and one for missing
values (Siddiqi, Credit Risk Scorecards, 2006). Below .1 little has changed, above .25 much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.features.sets.registry import universe_features
from nofx_pipelines.lake.store import Lake

BINS, NEWEST, REFERENCE = 10, 20, 250
MUCH = 0.25
_EMPTY = 1e-4
"""The share that an empty bin counts as."""


@dataclass(frozen=True)
class Drift:
    """PSI of every scale-free feature, the largest first, and how many sessions stand behind it."""

    psi: dict[str, float]
    usual: dict[str, float]
    """The largest index that as many sessions of the reference had against all of it."""
    newest: int
    reference: int

    @property
    def moved(self) -> list[str]:
        """Features whose index is above ``MUCH`` and above what is usual for them: slow ones wander."""
        return [name for name, value in self.psi.items() if value > max(MUCH, self.usual[name])]


def psi(reference: NDArray[np.float64], newest: NDArray[np.float64], bins: int = BINS) -> float:
    """Population stability index of ``newest`` [M] against ``reference`` [N], NaN a bin of its own.

    >>> x = np.arange(1000.0)
    >>> psi(x, x), round(psi(x, x + 200), 2)
    (0.0, 1.6)
    """
    edges = np.unique(np.nanquantile(reference, np.arange(1, bins) / bins))
    return _index(_shares(reference, edges), _shares(newest, edges))


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    known = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return np.append(counts, len(values) - len(known)) / max(len(values), 1)


def _index(reference: NDArray[np.float64], newest: NDArray[np.float64]) -> float:
    p, q = np.maximum(newest, _EMPTY), np.maximum(reference, _EMPTY)
    return float(((p - q) * np.log(p / q)).sum())


def feature_drift(lake: Lake, universe: UniverseConfig) -> Drift | None:
    """Drift of the universe's features; None while there are too few sessions to tell."""
    table = lake.table(universe.name, "features")
    days = [day for day, stamp in table.stamps().items() if stamp.rows][-(NEWEST + REFERENCE) :]
    if len(days) < 2 * NEWEST:
        return None
    names = [n for n in universe_features(universe).scale_free if n in table.scan().collect_schema().names()]
    frame = table.scan(start=days[0]).select("session_date", *names).collect()
    new = frame["session_date"] >= days[-NEWEST]
    before, past = frame.filter(~new), days[:-NEWEST]
    blocks = [past[k : k + NEWEST] for k in range(0, len(past) - NEWEST + 1, NEWEST)]
    parts = [before.filter(pl.col("session_date").is_between(block[0], block[-1])) for block in blocks]
    earlier = [drift_of(before, part, names) for part in parts]
    found = drift_of(before, frame.filter(new), names)
    usual = {name: max(one[name] for one in earlier) for name in found}
    return Drift(found, usual, NEWEST, len(past))


def drift_of(reference: pl.DataFrame, newest: pl.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """PSI by feature, the largest first; features that the reference has no value of are left out."""
    found = {}
    for name in names:
        before, now = (frame[name].fill_null(np.nan).to_numpy() for frame in (reference, newest))
        if not np.isnan(before).all():
            found[name] = psi(before, now)
    return dict(sorted(found.items(), key=lambda item: -item[1]))
