"""Which of two price barriers a path of closes touches first, or neither in time.

Barriers are compared with closes, not with highs and lows: a bar that spans both barriers does not
tell which came first, a high or a low may be a single odd print, and the forward return and sigma
are made of closes too.

Source: M. López de Prado, Advances in Financial Machine Learning (2018), chapter 3. Ours is symmetric
and needs no side; its timeout is labelled 0 instead of the sign of the return.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.labels.kinds.forward_return import forward_return
from nofx_pipelines.labels.kinds.kind import LabelKind, Labelled
from nofx_pipelines.labels.kinds.label_bars import LabelBars


def first_touch(
    close: NDArray[np.float64], width: NDArray[np.float64]
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """First touch of ``± width[n]`` by ``log(close[n, k] / close[n, 0])`` for k in 1..horizon.

    ``close``: ``[N, 1 + horizon]``; ``width``: ``[N]``, in log return. Returns the side (1 upper, -1 lower, 0
    timeout) and the bars until the touch (``horizon`` at a timeout), both ``[N]``; both are 0 where ``width``
    is not above zero.

    >>> close = np.exp([[0.0, 0.1, 0.3], [0.1, 0.3, 0.2], [0.3, 0.2, 0.0]])
    >>> side, touch = first_touch(close, np.full(3, 0.15))
    >>> side.tolist(), touch.tolist()
    ([1, 1, -1], [2, 1, 2])
    """
    log_return = np.log(close[:, 1:] / close[:, :1])  # [N, horizon]
    has_width = width > 0  # False for NaN too
    touches = (np.abs(log_return) >= width[:, None]) & has_width[:, None]
    first, touched = touches.argmax(axis=1), touches.any(axis=1)
    at_touch = np.take_along_axis(log_return, first[:, None], axis=1)[:, 0]
    side = np.where(touched, np.sign(at_touch), 0.0).astype(np.int8)
    touch = np.where(touched, first + 1, log_return.shape[1]) * has_width
    return side, touch.astype(np.int64)


class TripleBarrier:
    """The forward return, and the barrier at ± ``barrier_sigmas`` · sigma · sqrt(horizon) touched first."""

    def label(self, bars: LabelBars, config: LabelConfig) -> Labelled:
        """Label each row; no side is decided where sigma is unknown or zero."""
        close = bars.ahead("close")
        width = bars.sigma * (config.barrier_sigmas * np.sqrt(config.horizon))
        return Labelled(forward_return(close), *first_touch(close, width))


LABEL: LabelKind = TripleBarrier()
