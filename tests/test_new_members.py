"""CONTRIBUTING's way to a built-in: the skeleton's file into the family's folder, its test into the mirror.

Done for every kind at once in a copy of the sources; the tests that list members go on to pass there, and
the floors hold.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nofx_pipelines.plugins import KINDS
from tests.skeleton_files import write_skeleton

ROOT = Path(__file__).parent.parent
LISTINGS = (
    "tests/test_config_file.py",
    "tests/test_config_members.py",
    "tests/test_floors.py",
    "tests/plugins",
    "tests/anomaly/detectors/test_registry.py",
    "tests/features/sets/test_registry.py",
    "tests/labels/kinds/test_members.py",
    "tests/leakcheck/test_sets.py",
    "tests/market/sources/test_sources.py",
    "tests/market/sources/files/test_formats.py",
    "tests/market/sources/files/test_plugin_formats.py",
    "tests/market/sources/files/test_recognise.py",
    "tests/marl/algorithms/test_algorithms.py",
    "tests/marl/rewards/test_rewards.py",
    "tests/marl/roles/test_opening.py",
    "tests/marl/tasks/test_tasks.py",
    "tests/models/families/test_members.py",
    "tests/nas/strategies/test_strategies.py",
    "tests/promotion/gates/test_members.py",
    "tests/search/samplers/test_samplers.py",
    "nofx_pipelines/plugins",
)
"""Every test file that asks which members there are."""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """``run("-m", "pytest", …)``: Python in a copy of the sources with a new built-in of every kind."""
    copy = tmp_path_factory.mktemp("with members") / "sources"
    copy.mkdir()
    for name in ("nofx_pipelines", "assets", "resources", "tests", "docs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
    (copy / "tests" / "data").symlink_to(ROOT / "tests" / "data")
    for name in ("pyproject.toml", ".importlinter", "README.md"):
        shutil.copy(ROOT / name, copy / name)
    for kind, of in KINDS.items():
        member = write_skeleton(kind, copy / "written", f"my_{kind}")
        shutil.move(member, copy / "nofx_pipelines" / of.folder)
        mirror = copy / "tests" / of.folder
        mirror.mkdir(parents=True, exist_ok=True)
        shutil.move(member.with_name(f"test_{member.name}"), mirror)

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(copy)}
        return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)

    return python


def test_each_is_a_built_in_of_the_copy_and_its_moved_test_passes(run: Run) -> None:
    code = "from nofx_pipelines.plugins import *; print(*(find(kind, f'my_{kind}').origin for kind in KINDS))"
    assert run("-c", code).stdout.split() == ["built-in"] * len(KINDS)
    tests = [f"tests/{of.folder}/test_my_{kind}.py" for kind, of in KINDS.items()]
    done = run("-m", "pytest", "-q", "-W", "error:::nofx_pipelines", *tests)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_no_test_that_lists_members_breaks(run: Run) -> None:
    done = run("-m", "pytest", "-q", *LISTINGS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_style_the_types_and_the_floors_hold_for_the_moved_files(run: Run) -> None:
    files = [f"nofx_pipelines/{of.folder}/my_{kind}.py" for kind, of in KINDS.items()]
    mirrored = [f"tests/{of.folder}/test_my_{kind}.py" for kind, of in KINDS.items()]
    for command in (
        ("-m", "ruff", "check", *files, *mirrored),
        ("-m", "ruff", "format", "--check", *files, *mirrored),
        ("-m", "mypy", *files),
        ("-c", "from importlinter.cli import lint_imports_command as run; run()"),
    ):
        done = run(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
