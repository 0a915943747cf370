"""Names of homes that libraries below misread are refused wherever a home is opened; all others are names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nofx_pipelines.cli.dagster_home import prepare_dagster_home
from nofx_pipelines.config import resolve_home
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.home_path import checked_path
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.registry.tracking import Tracker

MISREAD = ("a%20b", "100%25", "what?", "%41", "数%e6据")
READ = (
    "a b",
    "100%",
    "50% off",
    "it's",
    'say "a"',
    "#1",
    "数据",
    "-x",
    "[a];&+:",
    "a%zz",
    "~x",
    "$HOME",
    "\\d",
)


@pytest.mark.parametrize("opening", [resolve_home, Lake, Tracker, prepare_dagster_home])
@pytest.mark.parametrize("name", MISREAD)
def test_a_name_that_is_misread_opens_nothing(
    tmp_path: Path, name: str, opening: Callable[[Path], Any]
) -> None:
    with pytest.raises(ConfigError, match="read as another place") as refused:
        opening(tmp_path / name)
    assert repr(str(tmp_path / name)) in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", READ)
def test_any_other_name_is_a_name(tmp_path: Path, name: str) -> None:
    assert checked_path(tmp_path / name) == tmp_path / name
    assert resolve_home(tmp_path / name) == tmp_path / name


def test_a_folder_above_counts_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'%20'"):
        resolve_home(tmp_path / "a%20b" / "home")


def test_a_registry_stays_in_its_home(tmp_path: Path, mlflow_folder: Path) -> None:
    """With every odd character that is not refused, in one name."""
    import shutil

    home = tmp_path / '-it\'s 100% "数据" #1 [a];&+:'
    shutil.copytree(mlflow_folder, home / "mlflow")
    with Tracker(home).run("r", experiment="new") as run:
        run.log_file("a/b.txt", b"x")
    (written,) = tmp_path.rglob("b.txt")
    assert written.is_relative_to(home)
    assert [path.name for path in tmp_path.iterdir()] == [home.name]
