"""A family's members are the files of its folder, and no list beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

import nofx_pipelines
from nofx_pipelines import plugins
from nofx_pipelines.plugins import kinds

ROOT = Path(nofx_pipelines.__file__).parent


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_family_has_a_folder_with_members_that_load(kind: str) -> None:
    assert (ROOT / plugins.KINDS[kind].folder).is_dir()
    names = plugins.builtin_names(kind)
    assert names
    for name in names:
        assert plugins.load(kind, name) is not None


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_an_alias_is_no_member_and_leads_to_one(kind: str) -> None:
    for alias, name in plugins.KINDS[kind].aliases.items():
        assert alias not in plugins.builtin_names(kind)
        assert name in plugins.builtin_names(kind)


def test_a_new_file_is_a_new_member_and_a_part_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "promotion" / "gates"
    (folder / "packed").mkdir(parents=True)
    (folder / "__init__.py").write_text("GATE = None\n")
    (folder / "one.py").write_text("GATE = object()\n")
    (folder / "typed.py").write_text("X = 1\nGATE: object = object()\n")
    (folder / "packed" / "__init__.py").write_text("GATE = object()\n")
    (folder / "part.py").write_text("GATES = 1\ndef f():\n    GATE = 2\n")
    (folder / "compared.py").write_text("assert GATE == 1\n")
    monkeypatch.setattr(kinds, "_ROOT", tmp_path)
    plugins.builtin_names.cache_clear()
    try:
        assert plugins.builtin_names("gates") == ("one", "packed", "typed")
    finally:
        monkeypatch.undo()
        plugins.builtin_names.cache_clear()
