"""How many sessions a label may look ahead and its sigma may look back.

Labels run on an instrument's own traded bars, so across a suspension ``horizon`` bars could take a
year. The pipeline's labels are bounded in the market's sessions: one whose bars take longer than
``ahead`` sessions has no value. Then a fold that leaves out ``ahead`` sessions leaves out every
label that reaches into the next role, and a session's labels depend on a known range of bars.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nofx_pipelines.config import LabelConfig


@dataclass(frozen=True)
class LabelWindows:
    """Bounds in sessions: the label within ``ahead``, sigma's returns within ``back``.

    >>> LabelWindows.of(LabelConfig(horizon=5, sigma_bars=20), bars_per_session=1)
    LabelWindows(ahead=5, back=40)
    >>> LabelWindows.of(LabelConfig(horizon=5, sigma_bars=20), bars_per_session=331)
    LabelWindows(ahead=1, back=2)
    """

    ahead: int
    back: int

    @classmethod
    def of(cls, config: LabelConfig, bars_per_session: int) -> LabelWindows:
        """``horizon`` bars rounded up to sessions; twice sigma's bars, so that some may be missing."""
        ahead = horizon_sessions(config.horizon, bars_per_session)
        return cls(ahead, max(ahead, 2 * math.ceil(config.sigma_bars / bars_per_session)))


def horizon_sessions(horizon: int, bars_per_session: int) -> int:
    """Sessions after its own that a label of ``horizon`` bars can reach when every bar trades.

    >>> [horizon_sessions(5, 1), horizon_sessions(5, 331), horizon_sessions(400, 331)]
    [5, 1, 2]
    """
    return math.ceil(horizon / bars_per_session)
