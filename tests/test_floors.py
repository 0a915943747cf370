"""import-linter holds the floors: one import turned upwards, or in a circle, breaks a contract."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("nofx_pipelines", "assets", "resources")


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over the packages in ``folder`` with the project's own contracts."""
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", folder)
    return folder


def test_the_tree_as_it_stands_keeps_every_contract(copied: Path) -> None:
    done = linted(copied)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        (
            "market/venues.py",
            "def _up():\n    import nofx_pipelines.promotion.champion",
            "Packages stand on floors",
        ),
        ("models/dataset.py", "from nofx_pipelines.hpo import study", "Packages stand on floors"),
        ("hpo/study.py", "from nofx_pipelines.nas import search", "Packages stand on floors"),
        (
            "features/algebra/expr.py",
            "from nofx_pipelines.features.execution import batch",
            "Inside features",
        ),
        ("models/networks/spec.py", "from nofx_pipelines.models.families import ridge", "Inside models"),
        ("anomaly/budget.py", "def _up():\n    from nofx_pipelines.anomaly import refresh", "No circle"),
        ("lake/store.py", "import dagster", "The library imports no Dagster"),
    ],
    ids=lambda part: part.split(".py")[0] if part.endswith(".py") else None,
)
def test_one_import_turned_upwards_breaks_a_contract(copied: Path, file: str, line: str, broken: str) -> None:
    path = copied / "nofx_pipelines" / file
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}\n\n{line}\n", encoding="utf-8")
    try:
        done = linted(copied)
    finally:
        path.write_text(text, encoding="utf-8")
    assert done.returncode != 0
    verdict = re.search(rf"{broken}.*? (KEPT|BROKEN)", " ".join(done.stdout.split()))
    assert verdict is not None
    assert verdict.group(1) == "BROKEN", done.stdout
