"""When a trial gives up: its running mean lies below the lower quartile of the trials before its batch.

A median over one noisy fold would throw away good trials (a valid fold's rank IC has a standard error as
large as the differences between trials); the lower quartile costs a quarter of the saving and almost no
regret. Only earlier batches count, so that the decision does not depend on which worker is faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STARTUP_TRIALS = 8
"""Trials that must have reached a step before anything is pruned there."""
QUANTILE = 0.25


def thresholds(
    earlier: Sequence[Sequence[float]],
    folds: int,
    *,
    quantile: float = QUANTILE,
    startup: int = STARTUP_TRIALS,
) -> tuple[float | None, ...]:
    """Per fold, the running mean below which a trial is pruned; None where it is not.

    ``earlier``: the running means of each trial of the earlier batches, one a fold reached. The last fold
    never prunes: by then the trial is complete.

    >>> thresholds([[0.0, 0.1], [0.2, 0.2]], 2, quantile=0.5, startup=2)
    (0.1, None)
    """
    limits: list[float | None] = []
    for step in range(folds - 1):
        reached = [steps[step] for steps in earlier if len(steps) > step]
        limits.append(float(np.quantile(reached, quantile)) if len(reached) >= startup else None)
    return (*limits, None)
