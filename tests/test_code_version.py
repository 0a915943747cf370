"""A code version changes with the sources it covers and with nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nofx_pipelines import code_version as subject
from nofx_pipelines.config import LabelConfig


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "fakepkg"
    (folder / "inner").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "a.py": "from fakepkg.inner import b\n",
        "inner/__init__.py": "",
        "inner/b.py": "def f():\n    from fakepkg import c\n    return c\n",
        "c.py": "X = 1\n",
        "alone.py": "Y = 1\n",
        "relative.py": "from .inner.b import f\n",
    }.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(subject, "PACKAGE", "fakepkg")
    forget()
    yield folder
    forget()
    for name in [m for m in sys.modules if m.startswith("fakepkg")]:
        del sys.modules[name]


def forget() -> None:
    for function in (subject.closure, subject._imports, subject.exists, subject._find, subject._source_hash):
        function.cache_clear()


def test_what_is_imported_inside_a_function_counts(package: Path) -> None:
    assert subject.closure(("fakepkg.a",)) == {
        "fakepkg.a",
        "fakepkg.inner",
        "fakepkg.inner.b",
        "fakepkg",
        "fakepkg.c",
    }
    assert "fakepkg.c" in subject.closure(("fakepkg.relative",))


@pytest.mark.parametrize(("file", "changes"), [("a.py", True), ("c.py", True), ("alone.py", False)])
def test_only_what_a_stage_reaches_changes_its_version(package: Path, file: str, changes: bool) -> None:
    before = subject.code_version(["fakepkg.a"])
    (package / file).write_text((package / file).read_text() + "\nZ = 2\n")
    forget()
    assert (subject.code_version(["fakepkg.a"]) != before) == changes


def test_a_data_file_beside_a_module_is_part_of_its_code(package: Path) -> None:
    before = subject.code_version(["fakepkg.a"])
    (package / "rules.toml").write_text("x = 1")
    forget()
    assert subject.code_version(["fakepkg.a"]) != before


def test_settings_are_part_of_the_version() -> None:
    versions = {
        subject.code_version(["nofx_pipelines.errors"], {"labels": LabelConfig(horizon=h)})
        for h in (5, 5, 10)
    }
    assert len(versions) == 2


def test_nothing_is_imported_to_see_what_a_module_imports(package: Path) -> None:
    (package / "loud.py").write_text("raise SystemExit('imported')\n")
    (package / "a.py").write_text("from fakepkg.loud import NAME\nfrom fakepkg.inner import b\n")
    forget()
    assert subject.closure(("fakepkg.a",)) >= {"fakepkg.loud", "fakepkg.inner.b"}
    assert not subject.exists("fakepkg.loud.NAME")
    assert not subject.exists("fakepkg.absent")
    assert not subject.exists("no_such_package.module")


def test_a_package_goes_before_a_module_of_its_name_and_compiled_before_text(package: Path) -> None:
    (package / "twice.py").write_text("X = 1\n")
    (package / "twice").mkdir()
    (package / "twice" / "__init__.py").write_text("")
    (package / "fast.py").write_text("X = 1\n")
    (package / "fast.cpython-311-x86_64-linux-gnu.so").write_bytes(b"\x7fELF")
    forget()
    assert subject._path("fakepkg.twice") == package / "twice" / "__init__.py"
    before = subject.code_version(["fakepkg.fast"])
    (package / "fast.cpython-311-x86_64-linux-gnu.so").write_bytes(b"\x7fELF2")
    forget()
    assert subject.code_version(["fakepkg.fast"]) != before


def test_what_a_module_of_somebody_else_imports_from_its_own_package_counts(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "PACKAGE", "nofx_pipelines")
    (package / "a.py").write_text("import json\nfrom fakepkg import c\nfrom nofx_pipelines import errors\n")
    forget()
    assert subject.closure(("fakepkg.a",)) >= {"fakepkg.a", "fakepkg.c", "nofx_pipelines.errors"}
    assert "json" not in subject.closure(("fakepkg.a",))
