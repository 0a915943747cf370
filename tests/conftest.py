"""Fixtures that the whole suite shares."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.config import FoldConfig
from nofx_pipelines.labels.folds import walk_forward
from nofx_pipelines.lake.schemas import TRAINING_SET

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real market data, or a skip that says where it was looked for."""
    candidates = [Path(os.environ["NOFX_DATA"])] if "NOFX_DATA" in os.environ else []
    candidates.append(Path(__file__).resolve().parents[2] / "shared" / "data")
    for folder in candidates:
        if (folder / "market").is_dir():
            return folder
    pytest.skip(f"no real data at {candidates[-1]} (set NOFX_DATA to its folder)")


@pytest.fixture(scope="session")
def plant() -> Callable[..., tuple[pl.DataFrame, pl.DataFrame]]:
    """Make a training set (features persist, labels overlap) with a known signal, and its folds.

    ``rank_a`` carries the linear half of the signal, the product of ``rank_b`` and ``rank_c`` the half that
    no linear model sees; ``drift`` and ``gap`` are noise, ``gap`` with nulls.
    """

    def make(
        seed: int = 1, sessions: int = 300, instruments: int = 12, signal: float = 0.3
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        rng = np.random.default_rng(seed)
        raw = np.zeros((sessions, instruments, 5))
        for day in range(sessions):
            raw[day] = (0.8 * raw[day - 1] if day else 0) + 0.6 * rng.normal(size=raw[day].shape)
        ranks = (raw.argsort(axis=1).argsort(axis=1) + 0.5) / instruments - 0.5
        linear, product = ranks[:, :, 0], 3.5 * ranks[:, :, 1] * ranks[:, :, 2]
        noise = 0.29 * rng.normal(size=linear.shape)
        forward = 0.02 * (signal * (linear + product) + noise)
        days = [date(2023, 1, 2) + timedelta(days=day) for day in range(sessions)]
        rows = pl.DataFrame(
            {
                "instrument_id": [f"CN.SSE.{600000 + i}" for i in range(instruments)] * sessions,
                "session_date": [day for day in days for _ in range(instruments)],
                "forward_return": forward.ravel(),
                "barrier": np.sign(forward).astype(np.int8).ravel(),
                "weight": 1.0,
                **{name: ranks[:, :, i].ravel() for i, name in enumerate(("rank_a", "rank_b", "rank_c"))},
                "drift": raw[:, :, 3].ravel(),
                "gap": pl.Series(raw[:, :, 4].ravel()).set(
                    pl.Series(rng.random(forward.size) < 0.1), float("nan")
                ),
            }
        ).with_columns(
            pl.col("gap").fill_nan(None),
            (pl.col("session_date").cast(pl.Datetime("us")) + pl.duration(hours=7))
            .dt.replace_time_zone("UTC")
            .alias("ts_close"),
        )
        names = [name for name in rows.columns if name not in TRAINING_SET.columns]
        folds = walk_forward(days, FoldConfig(count=3, test_fraction=0.3, embargo_bars=1), horizon_sessions=1)
        return rows.select(*TRAINING_SET.columns, *names), folds

    return make
