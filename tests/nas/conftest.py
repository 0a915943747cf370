"""Windows with a planted signal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.models.lags import window_names


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., Dataset]:
    """Rows of ``sessions`` x ``instruments`` with windows of ``lookback`` bars of three features.

    The return follows the sum of the first feature over the last three bars.
    """

    def make(
        seed: int = 1, sessions: int = 120, instruments: int = 10, lookback: int = 5, signal: float = 1.0
    ) -> Dataset:
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(sessions + lookback, instruments, 3))
        windows = np.stack([values[s : s + lookback] for s in range(1, sessions + 1)])  # [S, L, N, C]
        x = windows.transpose(0, 2, 1, 3).reshape(sessions * instruments, lookback * 3)
        forward = windows[:, -3:, :, 0].sum(axis=1).ravel()
        y = 0.01 * (signal * forward + rng.normal(size=len(forward)))
        x[rng.random(x.shape) < 0.02] = np.nan
        time = np.repeat(np.arange(sessions), instruments)
        return Dataset(
            x=x,
            y=y,
            weight=np.ones(len(y)),
            ts_close=time.astype(np.int64) * 86_400_000_000,
            session_date=time.astype(np.int32),
            instrument_id=np.array([f"I{n}" for n in range(instruments)] * sessions),
            feature_names=window_names(("a", "b", "c"), lookback),
        )

    return make
