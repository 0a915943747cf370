"""``nofx plugins``: what there is, from where, used by whom, and what cannot be used."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from nofx_pipelines import plugins
from nofx_pipelines.cli.doctor import _configuration, _plugins
from nofx_pipelines.cli.features import list_features
from nofx_pipelines.cli.plugins import list_plugins
from nofx_pipelines.cli.run import RunOptions, _chosen
from nofx_pipelines.config_file import (
    default_config,
    load_config,
    load_usable,
    parse_usable,
    render_config,
)
from nofx_pipelines.errors import AbsentPlugin, ConfigError

GATE = """class Passing:
    def judge(self, evidence, config):
        raise NotImplementedError

GATE = Passing()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose first universe names a plug-in that works and one that does not."""
    folder = tmp_path / plugins.FOLDER
    folder.mkdir()
    (folder / "works.py").write_text(f"print('on the way in')\n{GATE}")
    (folder / "no_gate.py").write_text("GATE = object()\n")
    (folder / "broken.py").write_text("GATE = 1 / 0\n")
    (folder / "unused.py").write_text(GATE)
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
    assert "has no method judge(evidence, config)" in shown["no_gate:GATE"]["state"]
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


def test_what_a_plug_in_prints_is_no_part_of_the_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list_plugins(home, "gates", "json")
    shown = capsys.readouterr()
    assert json.loads(shown.out)
    assert "on the way in" in shown.err


def test_what_compiled_code_writes_is_no_part_of_the_json(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (home / "plugins" / "raw.py").write_text(
        "import os\nfrom nofx_pipelines.features import FeatureSet\n"
        "print('printed')\nos.write(1, b'written')\nFEATURES = FeatureSet('raw', ())\n"
    )
    for show in (lambda: list_plugins(home, "features", "json"), lambda: list_features(home, [], "json")):
        show()
        shown = capfd.readouterr()
        assert json.loads(shown.out)
        assert "printed" in shown.err
        assert "written" in shown.err
        os.utime(home / "plugins" / "raw.py")
        (home / "plugins" / "raw.py").write_text((home / "plugins" / "raw.py").read_text() + "# again\n")


@pytest.mark.parametrize(
    "text",
    [
        "class Odd:\n    @property\n    def __class__(self):\n        raise ValueError\n\nGATE = Odd()\n",
        "class Own(BaseException): ...\n\nraise Own\nGATE = 1\n",
        f"GATE = {'-' * 100_000}1\n",
    ],
    ids=["class", "base", "deep"],
)
def test_whatever_a_file_raises_the_others_are_listed(
    home: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (home / "plugins" / "odd.py").write_text(text)
    shown = rows(home, capsys)
    assert "plug-in 'odd:GATE'" in shown["odd:GATE"]["state"]
    assert shown["works:GATE"]["state"] == "ok"


def test_links_to_nowhere_and_folders_hide_no_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "plugins" / "nowhere.py").symlink_to(home / "gone.py")
    (home / "plugins" / "loop.py").symlink_to(home / "plugins" / "loop.py")
    (home / "plugins" / "folder.py").mkdir()
    assert rows(home, capsys)["works:GATE"]["state"] == "ok"


def test_an_installed_package_that_is_broken_is_listed_with_its_reason(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, text in (("gate_that_exits", "raise SystemExit(3)\n"), ("gate_unwritten", "def f(:\n")):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    made = EntryPoints(
        EntryPoint(name, value, "nofx_pipelines.gates")
        for name, value in (
            ("exits", "gate_that_exits:GATE"),
            ("unwritten", "gate_unwritten:GATE"),
            ("gone", "no_such_package.gates:GATE"),
        )
    )
    monkeypatch.setattr(
        "nofx_pipelines.plugins.reference.entry_points", lambda group: made.select(group=group)
    )
    shown = rows(home, capsys)
    assert "raised SystemExit when importing it: 3" in shown["exits"]["state"]
    assert "SyntaxError" in shown["unwritten"]["state"]
    assert "no module no_such_package.gates is installed" in shown["gone"]["state"]
    with pytest.raises(AbsentPlugin, match="no module no_such_package"):
        plugins.find("gates", "gone")
    text = render_config(default_config(tmp_path)).replace('"leak_check"]', '"leak_check", "gone"]', 1)
    _, refused = parse_usable(text, tmp_path, "nofx.toml")
    assert list(refused) == ["cn"]


def test_an_absent_plug_in_is_named_and_the_other_universes_are_usable(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "plugins" / "works.py").unlink()
    config, refused = load_usable(home)
    assert (sorted(config.universes), sorted(refused)) == (["crypto", "hk"], ["cn"])
    assert "works.py is not there" in str(refused["cn"])
    assert "what does not name it goes on. Next: put the file back, or " in str(refused["cn"])
    list_plugins(home, "gates", "table")
    assert "cn: " in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"works\.py is not there"):
        load_config(home)
    options = RunOptions(home, None, None, None, None, False)
    chosen, absent = _chosen(config, refused, options)
    assert ([u.name for u in chosen], [name for name, _ in absent]) == (["hk", "crypto"], ["cn"])
    with pytest.raises(ConfigError, match=r"works\.py is not there"):
        _chosen(config, refused, replace(options, universes=("cn",)))
    findings = {name: (good, text) for name, good, text in _configuration(home)}
    assert not findings["cn"][0]
    assert findings["nofx.toml"][0]
