"""Architectures tried a minute: one process against two, and a GPU.

    python -m benchmarks.bench_nas [--device cuda]

The same search each time: the same seed gives the same trials, whoever evaluates them.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.timing import machine_table
from nofx_pipelines.config import NasConfig
from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.models.networks.training_config import TrainingConfig
from nofx_pipelines.models.window_columns import window_names
from nofx_pipelines.nas.objective import Fidelity, NetworkObjective
from nofx_pipelines.nas.search import run_search
from nofx_pipelines.nas.space import SearchSpace
from nofx_pipelines.search.fold_rows import FoldRows

SESSIONS, INSTRUMENTS, FEATURES, LOOKBACK, SEED = 700, 30, 25, 10, 7
CONFIG = NasConfig(trials=20)


def rows() -> Dataset:
    """21,000 rows of ten bars and 25 features with a signal in the last three bars."""
    rng = np.random.default_rng(SEED)
    values = rng.normal(size=(SESSIONS + LOOKBACK, INSTRUMENTS, FEATURES))
    windows = np.stack([values[s : s + LOOKBACK] for s in range(SESSIONS)]).transpose(0, 2, 1, 3)
    y = 0.02 * (0.2 * windows[:, :, -3:, 0].sum(axis=2).ravel() + rng.normal(size=SESSIONS * INSTRUMENTS))
    time_number = np.repeat(np.arange(SESSIONS), INSTRUMENTS)
    return Dataset(
        x=windows.reshape(len(y), LOOKBACK * FEATURES),
        y=y,
        weight=np.ones(len(y)),
        ts_close=time_number.astype(np.int64) * 86_400_000_000,
        session_date=time_number.astype(np.int32),
        instrument_id=np.array([f"I{n:02d}" for n in range(INSTRUMENTS)] * SESSIONS),
        feature_names=window_names([f"f{c}" for c in range(FEATURES)], LOOKBACK),
    )


def objective(device: str) -> NetworkObjective:
    """Two folds at the search's default fidelity."""
    n = INSTRUMENTS
    folds = (FoldRows((0, 500 * n), (500 * n, 700 * n)), FoldRows((0, 350 * n), (350 * n, 500 * n)))
    quick = Fidelity(2, TrainingConfig(epochs=CONFIG.epochs, row_budget=CONFIG.rows))
    full = Fidelity(2, TrainingConfig(epochs=2 * CONFIG.epochs))
    return NetworkObjective(rows(), folds, SearchSpace(features=FEATURES), SEED, quick, full, device)


def trials_a_minute(device: str, workers: int) -> float:
    """Trials and finalists a minute of one whole search."""
    measured = objective(device)
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        result = run_search(
            measured,
            dataclasses.replace(CONFIG, workers=workers),
            folder=Path(folder),
            name="bench",
            clock=lambda: datetime.now(UTC),
        )
        return result.trials.height / (time.perf_counter() - began) * 60


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    device = parser.parse_args().device
    serial = trials_a_minute("cpu", 1)
    table = [("CPU, 1 process", f"{serial:.1f}", "1.00x")]
    others = [("CPU, 2 processes", "cpu", 2)]
    if device == "cuda":
        others += [(_gpu(), "cuda", 1), (f"{_gpu()}, 4 processes", "cuda", 4)]
    for name, where, workers in others:
        found = trials_a_minute(where, workers)
        table.append((name, f"{found:.1f}", f"{found / serial:.2f}x"))
    print(
        machine_table(
            "Architecture search, 20 trials and 2 finalists", ("", "trials a minute", "to one"), table
        )
    )


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name(0)


if __name__ == "__main__":
    main()
