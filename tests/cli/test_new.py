"""``nofx new`` writes a member that works and a test that passes, for every kind."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from nofx_pipelines import plugins
from nofx_pipelines.cli.new import skeleton, write_skeleton
from nofx_pipelines.errors import ConfigError


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one member of every kind."""
    made = tmp_path_factory.mktemp("home with 'quotes' and 空格")
    for kind in plugins.KINDS:
        write_skeleton(made, kind, f"my_{kind}")
    return made


def test_every_kind_has_a_skeleton_that_loads(home: Path) -> None:
    folder = home / plugins.FOLDER
    for kind, of in plugins.KINDS.items():
        assert plugins.load(kind, f"my_{kind}:{of.attribute}", folder) is not None
        assert f"my_{kind}:{of.attribute}" in plugins.known_names(kind, folder)
    assert {file.name for file in folder.glob("*.py")} == {
        f"{prefix}my_{kind}.py" for kind in plugins.KINDS for prefix in ("", "test_")
    }


def test_every_skeleton_s_own_test_passes(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(home / plugins.FOLDER)],
        capture_output=True,
        text=True,
        cwd=home,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_nothing_is_left_of_the_placeholder(kind: str) -> None:
    texts = skeleton(kind, "mine")
    assert set(texts) == {"mine.py", "test_mine.py"}
    for text in texts.values():
        assert "__NAME__" not in text
        compile(text, "mine.py", "exec")
    assert "mine" in texts["test_mine.py"]


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("gate", "mine", r"'gate' is none of features, sources"),
        ("gates", "My Gate", r"'My Gate' is no name of a Python file"),
        ("gates", "class", r"'class' is no name of a Python file"),
        ("gates", "../mine", r"is no name of a Python file"),
        ("gates", "lambda", r"'lambda' is no name of a Python file"),
        ("gates", "__init__", r"'__init__' is a name that Python or pytest takes for something else"),
        ("gates", "__main__", r"'__main__' is a name that Python or pytest takes"),
        ("gates", "test_x", r"'test_x' is a name that Python or pytest takes"),
        ("gates", "x_test", r"'x_test' is a name that Python or pytest takes"),
        ("gates", "conftest", r"'conftest' is a name that Python or pytest takes"),
        ("gates", "json", r"'json' is a module of Python's"),
        ("families", "gbdt", r"'gbdt' is a built-in model family"),
        ("families", "lightgbm", r"'lightgbm' is a built-in model family"),
    ],
)
def test_what_cannot_be_written_is_refused(kind: str, name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        write_skeleton(tmp_path, kind, name)
    assert list(tmp_path.iterdir()) == []


def test_the_next_command_is_for_a_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "a home's; $PWD & more"
    write_skeleton(home, "rewards", "mine")
    test, run = capsys.readouterr().out.rpartition("Next: ")[2].split(", then ")
    assert shlex.split(test) == ["python", "-m", "pytest", str(home / plugins.FOLDER / "test_mine.py")]
    assert shlex.split(run) == ["nofx", "run", "--home", str(home)]


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / plugins.FOLDER
    folder.mkdir()
    (folder / "test_mine.py").write_text("mine\n")
    with pytest.raises(ConfigError, match=r"test_mine.py is there already; it was left as it is"):
        write_skeleton(tmp_path, "gates", "mine")
    assert [file.name for file in folder.iterdir()] == ["test_mine.py"]
    assert (folder / "test_mine.py").read_text() == "mine\n"
