"""Fixtures that the whole suite shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
