"""A kind of label as ``nofx.toml`` names it, whose answers are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.labels.kinds.kind import LabelKind, Labelled
from nofx_pipelines.labels.kinds.label_bars import LabelBars
from nofx_pipelines.plugins import Reference

Rows = NDArray[np.bool_]
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
        with self.reference.guard(f"labelling bars of {bars.instrument_id}"):
            labelled = self.kind.label(bars, config)
            problem = _shape_problem(labelled, len(bars))
            if problem is not None:
                raise self.reference.refuse(f"{problem} ({bars.instrument_id})")
            for wrong, explain in _value_problems(labelled, config.horizon):
                if wrong.any():
                    first = int(np.argmax(wrong))
                    raise self.reference.refuse(f"{explain(first)} ({bars.describe(first)})")
        return labelled


def _shape_problem(labelled: Any, rows: int) -> str | None:
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
    if (labelled.side is None) != (labelled.touch is None):
        return "answered one of side and touch without the other"
    return None


def _value_problems(labelled: Labelled, horizon: int) -> Iterator[tuple[Rows, Callable[[int], str]]]:
    """Each rule: the rows ``[N]`` that break it, and what is said of one."""
    yield np.isinf(labelled.value), lambda _: "gave an infinite value: NaN is the unknown"
    side, touch = labelled.side, labelled.touch
    if side is None or touch is None:
        return
    yield ~np.isin(side, (-1, 0, 1)), lambda row: f"gave a side of {side[row]}: it is -1, 0 or 1"
    yield (
        (touch < 0) | (touch > horizon),
        lambda row: (
            f"decided a side {touch[row]} bars ahead: it is 1 to horizon = {horizon}, or 0 where none was"
        ),
    )
    yield (
        (touch == 0) & (side != 0),
        lambda _: "gave a side where touch = 0, which says that none was decided",
    )
