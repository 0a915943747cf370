"""The wheel works in an empty folder, away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nofx_pipelines.config_file import render_config
from tests.end_to_end.conftest import small_config

pytestmark = pytest.mark.xdist_group("wheel")

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("nofx_pipelines", "assets", "resources")
NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.egg-info")

ORIGINS = f"""
import importlib, pkgutil
for name in {PACKAGES!r}:
    package = importlib.import_module(name)
    print(package.__file__)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            print(importlib.import_module(module.name).__file__)
"""
ASSETS = """
from nofx_pipelines.definitions import defs
print(len(defs().resolve_asset_graph().get_all_asset_keys()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built from a copy, so that nothing is left in the checkout."""
    place = tmp_path_factory.mktemp("wheel")
    tree = place / "tree"
    tree.mkdir()
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=NOT_COPIED)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place / "dist")]
    done = subprocess.run([*build, str(tree)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (place / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's contents, installed without its dependencies."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    done = subprocess.run([*pip, str(target), str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def outside(installed: Path, folder: Path, *arguments: str) -> str:
    """Python in ``folder``, which sees the installed wheel before any checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    for name in ("NOFX_HOME", "DAGSTER_HOME"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert held == wanted
    assert any(name.endswith(".toml") for name in held)


def test_every_module_comes_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    files = outside(installed, tmp_path, "-c", ORIGINS).split()
    assert len(files) > 150
    assert [file for file in files if not file.startswith(str(installed))] == []


@pytest.mark.slow
def test_the_command_line_and_the_graph_work_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    nofx = str(installed / "bin" / "nofx")
    assert "simulated universes" in outside(installed, tmp_path, nofx, "init")
    assert (tmp_path / ".nofx" / "nofx.toml").exists()
    # three universes of eight stages, two assets a market, mart and report
    assert outside(installed, tmp_path, "-c", ASSETS).strip() == "32"
    home = tmp_path / "home"
    home.mkdir()
    (home / "nofx.toml").write_text(render_config(small_config(home)))
    output = outside(installed, tmp_path, nofx, "run", "--home", str(home))
    assert "verdict: " in output
    assert (home / "report" / "index.html").read_text().startswith("<!doctype html>")
    assert {file.name for file in tmp_path.iterdir()} == {".nofx", "home"}
