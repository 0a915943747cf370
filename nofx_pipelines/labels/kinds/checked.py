"""A kind of label as ``nofx.toml`` names it, whose answers are checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.labels.kinds.kind import LabelKind, Labelled
from nofx_pipelines.labels.kinds.label_bars import LabelBars
from nofx_pipelines.plugins import Reference

_TYPES = {"value": np.float64, "side": np.int8, "touch": np.int64}


@dataclass(frozen=True)
class CheckedLabel:
    """A kind of label whose answers are checked; PluginError names it."""

    reference: Reference
    kind: LabelKind

    @classmethod
    def load(cls, reference: Reference) -> CheckedLabel:
        """The kind of a reference; PluginError where it is none."""
        member = reference.load()
        reference.require(member, "label(bars, config)")
        return cls(reference, member)

    @property
    def name(self) -> str:
        """As ``nofx.toml`` writes it."""
        return self.reference.name

    def label(self, bars: LabelBars, config: LabelConfig) -> Labelled:
        """The kind's labels; PluginError where they are none that a table can hold."""
        with self.reference.guard("labelling bars"):
            labelled = self.kind.label(bars, config)
            problem = _problem(labelled, len(bars), config.horizon)
        if problem is not None:
            raise self.reference.refuse(problem)
        return labelled


def _problem(labelled: Any, rows: int, horizon: int) -> str | None:
    """What keeps an answer from being the labels of so many rows."""
    if not isinstance(labelled, Labelled):
        return f"answered with a {type(labelled).__name__}, not a Labelled"
    for name, dtype in _TYPES.items():
        array = getattr(labelled, name)
        if array is None and name != "value":
            continue
        if not isinstance(array, np.ndarray):
            return f"answered {name} = a {type(array).__name__}, not an array"
        if array.dtype != dtype or array.shape != (rows,):
            return (
                f"answered {name} of type {array.dtype} and shape {array.shape}: "
                f"it is {np.dtype(dtype)} of shape {(rows,)}, one a row"
            )
    if np.isinf(labelled.value).any():
        return "gave an infinite value: NaN is the unknown"
    if (labelled.side is None) != (labelled.touch is None):
        return "answered one of side and touch without the other"
    if labelled.side is None or labelled.touch is None:
        return None
    if not np.isin(labelled.side, (-1, 0, 1)).all():
        return f"gave a side of {_first_outside(labelled.side, -1, 1)}: it is -1, 0 or 1"
    if ((labelled.touch < 0) | (labelled.touch > horizon)).any():
        first = _first_outside(labelled.touch, 0, horizon)
        return f"decided a side {first} bars ahead: it is 1 to horizon = {horizon}, or 0 where none was"
    if ((labelled.touch == 0) & (labelled.side != 0)).any():
        return "gave a side where touch = 0, which says that none was decided"
    return None


def _first_outside(values: Any, low: int, high: int) -> int:
    return int(values[(values < low) | (values > high)][0])
