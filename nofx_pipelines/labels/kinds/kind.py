"""What a kind of label is given and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.labels.kinds.label_bars import LabelBars


@dataclass(frozen=True)
class Labelled:
    """Labels of ``N`` rows; ``side`` and ``touch`` belong together and may be left out.

    ``value``: float64 ``[N]``, what models learn (the tables call it forward_return); NaN is unknown.
    ``side``: int8 ``[N]``, -1, 0 or 1. ``touch``: int64 ``[N]``, how many bars ahead the side was decided,
    in 1..horizon; 0 where none was, and then the side is 0.
    """

    value: NDArray[np.float64]
    side: NDArray[np.int8] | None = None
    touch: NDArray[np.int64] | None = None


class LabelKind(Protocol):
    """A rule that makes labels of bars."""

    def label(self, bars: LabelBars, config: LabelConfig) -> Labelled:
        """Label each row from its own bars alone: no row may depend on which others are there."""
