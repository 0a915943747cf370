"""Fixtures that the whole suite shares."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import settings

from nofx_pipelines.config import FoldConfig
from nofx_pipelines.labels.folds import walk_forward
from nofx_pipelines.lake.schemas import TRAINING_SET
from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.models.window_columns import window_names
from nofx_pipelines.registry.tracking import Tracker
from tests.chain import Chain, small_chain

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("nofx", deadline=None)  # how fast a machine is today is nobody's bug
settings.load_profile("nofx")
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


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """What shares the finished chain runs in one process, so that it is built once."""
    for item in items:
        if {"trained_chain", "finished_chain", "chain"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("chain"))


@pytest.fixture(scope="session")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow folder to copy: the first creation of its database takes many seconds."""
    tracker = Tracker(tmp_path_factory.mktemp("mlflow"))
    tracker.prepare()
    return tracker.folder


@pytest.fixture(scope="session")
def trained_chain(mlflow_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A simulated universe up to its candidate, nobody crowned yet; read it, do not change it."""
    chain = small_chain(tmp_path_factory.mktemp("trained"))
    shutil.copytree(mlflow_folder, chain.home / "mlflow")
    chain.ingest()
    chain.run(until="candidate_model")
    return chain


@pytest.fixture(scope="session")
def finished_chain(trained_chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The same universe with every stage fresh; read it, do not change it."""
    chain = trained_chain.copied(tmp_path_factory.mktemp("finished_chain") / "home")
    chain.run()
    return chain


@pytest.fixture
def chain(finished_chain: Chain, tmp_path: Path) -> Chain:
    """A copy of the finished universe, for tests that change it."""
    return finished_chain.copied(tmp_path / "home")


@pytest.fixture(scope="session")
def tracker(mlflow_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """A tracker; tests use model and experiment names of their own."""
    found = Tracker(tmp_path_factory.mktemp("a home"))
    shutil.copytree(mlflow_folder, found.folder)
    return found


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
