"""``nofx plugins``: what there is, from where, used by whom, and what cannot be used."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from nofx_pipelines import plugins
from nofx_pipelines.cli.doctor import _plugins
from nofx_pipelines.cli.plugins import list_plugins
from nofx_pipelines.config_file import default_config, load_config, render_config
from nofx_pipelines.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose first universe names a plug-in that works and one that does not."""
    folder = tmp_path / plugins.FOLDER
    folder.mkdir()
    (folder / "works.py").write_text("GATE = object()\n")
    (folder / "broken.py").write_text("GATE = 1 / 0\n")
    (folder / "unused.py").write_text("GATE = object()\n")
    (folder / "test_works.py").write_text("GATE = 'a test is no plug-in'\n")
    text = render_config(default_config(tmp_path))
    text = text.replace('"leak_check"]', '"leak_check", "works:GATE", "broken:GATE"]', 1)
    (tmp_path / "nofx.toml").write_text(text)
    return tmp_path


def rows(home: Path, capsys: pytest.CaptureFixture[str], kind: str | None = "gates") -> dict[str, Any]:
    list_plugins(home, kind, "json")
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_each_member_has_its_place_its_users_and_its_state(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = rows(home, capsys)
    assert (shown["works:GATE"]["origin"], shown["works:GATE"]["state"]) == ("home", "ok")
    assert shown["works:GATE"]["where"] == str(home / "plugins" / "works.py")
    assert shown["works:GATE"]["used_by"] == "cn"
    assert shown["unused:GATE"]["used_by"] == ""
    assert "ZeroDivisionError" in shown["broken:GATE"]["state"]
    assert shown["net_sharpe"]["origin"] == "built-in"
    assert shown["net_sharpe"]["used_by"] == "cn, hk, crypto"
    assert "test_works:GATE" not in shown


def test_every_kind_is_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list_plugins(home, None, "json")
    listed = json.loads(capsys.readouterr().out)
    assert {row["kind"] for row in listed} == set(plugins.KINDS)
    for kind in plugins.KINDS:
        names = {row["name"] for row in listed if row["kind"] == kind}
        assert set(plugins.builtin_names(kind)) <= names
    with pytest.raises(ConfigError, match="--kind 'gate' is none of features"):
        list_plugins(home, "gate", "table")


def test_what_is_announced_like_a_built_in_is_shown_as_refused(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = EntryPoints(
        [
            EntryPoint("net_sharpe", "json:loads", "nofx_pipelines.gates"),
            EntryPoint("fine", "json:loads", "nofx_pipelines.gates"),
        ]
    )
    monkeypatch.setattr(
        "nofx_pipelines.plugins.reference.entry_points", lambda group: points.select(group=group)
    )
    list_plugins(home, "gates", "json")
    listed = json.loads(capsys.readouterr().out)
    states = [(row["where"], row["state"]) for row in listed if row["name"] == "net_sharpe"]
    assert ("json:loads", "refused: 'net_sharpe' is a built-in gate") in states
    assert next(row for row in listed if row["name"] == "fine")["origin"] == "installed"
    said = {name: (good, text) for name, good, text in _plugins(load_config(home))}
    assert said["plug-in net_sharpe"] == (
        True,
        "not used: json:loads is announced as 'net_sharpe', a built-in gate",
    )


def test_doctor_names_a_plug_in_that_does_not_load(home: Path) -> None:
    said = {name: (good, text) for name, good, text in _plugins(load_config(home))}
    assert said["plug-in works:GATE"][0]
    assert not said["plug-in broken:GATE"][0]
    assert "broken.py" in said["plug-in broken:GATE"][1]
