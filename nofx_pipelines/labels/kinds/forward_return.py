"""The log return from a bar's close to the close ``horizon`` traded bars later, without barriers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.labels.kinds.kind import LabelKind, Labelled
from nofx_pipelines.labels.kinds.label_bars import LabelBars


def forward_return(close: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log of the last close over the first; ``close`` is ``[N, 1 + horizon]``, the result ``[N]``.

    >>> forward_return(np.array([[100.0, 110.0, 121.0]])).round(4).tolist()
    [0.1906]
    """
    return np.asarray(np.log(close[:, -1] / close[:, 0]))


class ForwardReturn:
    """The forward return; no side is decided."""

    def label(self, bars: LabelBars, config: LabelConfig) -> Labelled:
        """Label each row with its forward return."""
        return Labelled(forward_return(bars.ahead("close")))


LABEL: LabelKind = ForwardReturn()
