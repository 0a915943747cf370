"""A finished home that the tests of this folder share, and the command line as a user calls it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from nofx_pipelines.config import (
    Config,
    FeedConfig,
    FoldConfig,
    GateConfig,
    MarlConfig,
    NasConfig,
    SearchConfig,
    SourceConfig,
    UniverseConfig,
)
from nofx_pipelines.config_file import render_config

Nofx = Callable[..., subprocess.CompletedProcess[str]]


def small_config(home: Path) -> Config:
    """One simulated universe, small enough to run in seconds."""
    source = SourceConfig(kind="simulated", instruments=8)
    feed = FeedConfig(market="cn", freq="1d", sources=(source,), start=date(2024, 1, 1), end=date(2025, 7, 1))
    universe = UniverseConfig(
        name="cn",
        market="cn",
        freq="1d",
        folds=FoldConfig(count=3),
        search=SearchConfig(trials=3),
        nas=NasConfig(trials=2, epochs=1, rows=500, lookback=3),
        marl=MarlConfig(iterations=2, envs=4, window=20, seeds=(7, 8)),
        gates=GateConfig(resamples=200),
    )
    return Config(home=home, feeds={("cn", "1d"): feed}, universes={"cn": universe})


def command(home: Path) -> Nofx:
    """``nofx`` in a process of its own, on ``home``."""

    def call(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "nofx_pipelines.cli", *arguments, "--home", str(home)],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            timeout=300,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    return call


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home after its first run, and what the run said; read it, do not change it."""
    home = tmp_path_factory.mktemp("finished")
    (home / "nofx.toml").write_text(render_config(small_config(home)))
    return home, command(home)("run").stdout


@pytest.fixture
def home(first_run: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the finished home, for tests that change it."""
    shutil.copytree(first_run[0], tmp_path / "home")
    return tmp_path / "home"
