"""Importing the library is light."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "dagster",
    "torch",
    "mlflow",
    "lightgbm",
    "sklearn",
    "matplotlib",
    "onnx",
    "numba",
    "exchange_calendars",
)


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import nofx_pipelines, nofx_pipelines.config").isdisjoint(HEAVY)


def test_definitions_load_only_dagster_at_the_top() -> None:
    assert loaded_by("import nofx_pipelines.definitions").isdisjoint(set(HEAVY) - {"dagster"})
