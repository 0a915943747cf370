"""Every key that names members refuses an unknown name when the file is read, with the known ones listed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nofx_pipelines import plugins
from nofx_pipelines.config import SourceConfig, UniverseConfig
from nofx_pipelines.config_file import default_config, load_config, parse_config, render_config
from nofx_pipelines.config_members import MEMBER_KEYS, feed_members, universe_members
from nofx_pipelines.errors import ConfigError

HEAD = """
[markets.cn.1d]
start = 2024-01-01
end = 2025-01-01
sources = [{ kind = "simulated" }]

[universes.mine]
market = "cn"
freq = "1d"
"""


def text(section: str, key: str, value: str) -> str:
    return HEAD + (f"[universes.mine.{section}]\n{key} = {value}\n" if section else f"{key} = {value}\n")


def listed(section: str, key: str) -> bool:
    default = UniverseConfig(name="cn", market="cn", freq="1d")
    return isinstance(getattr(getattr(default, section) if section else default, key), tuple)


@pytest.mark.parametrize(("kind", "section", "key"), MEMBER_KEYS, ids=lambda part: str(part))
def test_an_unknown_name_is_refused_in_every_key(kind: str, section: str, key: str, tmp_path: Path) -> None:
    value = '["nothing_here"]' if listed(section, key) else '"nothing_here"'
    with pytest.raises(ConfigError) as caught:
        parse_config(text(section, key, value), home=tmp_path, file="nofx.toml")
    said = str(caught.value)
    line = 1 + text(section, key, value).splitlines().index(f"{key} = {value}")
    assert f"nofx.toml:{line}" in said
    assert "'nothing_here'" in said
    assert all(name in said for name in plugins.builtin_names(kind))
    assert f"nofx new {kind}" in said


@pytest.mark.parametrize(("kind", "section", "key"), MEMBER_KEYS, ids=lambda part: str(part))
def test_a_file_of_the_home_is_taken_in_every_key(kind: str, section: str, key: str, tmp_path: Path) -> None:
    folder = tmp_path / plugins.FOLDER
    folder.mkdir()
    (folder / "mine.py").write_text("raise RuntimeError('reading the file imports nothing')\n")
    names = {"families": '"ridge", ', "gates": '"leak_check", '}.get(kind, "")
    value = f'[{names}"mine:MEMBER"]' if listed(section, key) else '"mine:MEMBER"'
    config = parse_config(text(section, key, value), home=tmp_path)
    assert (kind, "mine:MEMBER") in set(universe_members(config.universes["mine"]))
    assert config.universes["mine"].plugins == folder


@pytest.mark.parametrize(("key", "value"), [("kind", '"nothing_here"'), ("formats", '["nothing_here"]')])
def test_an_unknown_source_or_format_is_refused(key: str, value: str, tmp_path: Path) -> None:
    link = f'path = "x", {key} = {value}' if key == "formats" else f"{key} = {value}"
    kind = 'kind = "files", ' if key == "formats" else ""
    with pytest.raises(ConfigError, match=r"'nothing_here'.*known are"):
        parse_config(HEAD.replace('kind = "simulated"', kind + link), home=tmp_path)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('families = ["gbdt"]', "ridge is always among them"),
        ('features = ["technical", "technical"]', "technical stands there twice"),
        ('families = ["ridge", "gbdt", "lightgbm"]', "lightgbm stands there twice"),
        ('plugins = "x"', "a key is one of"),
        ("features = []", "at least 1"),
    ],
)
def test_lists_that_make_no_sense_are_refused(line: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_config(HEAD + line + "\n", home=tmp_path)


def test_the_leak_check_is_always_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leak_check is always among them"):
        parse_config(text("gates", "use", '["net_sharpe"]'), home=tmp_path)


def test_an_alias_is_resolved(tmp_path: Path) -> None:
    config = parse_config(HEAD + 'families = ["ridge", "lightgbm"]\n', home=tmp_path)
    assert config.universes["mine"].families == ("ridge", "gbdt")


def test_a_file_of_0_1_0_stays_valid_and_means_the_same(tmp_path: Path) -> None:
    config = parse_config(HEAD, home=tmp_path)
    expected = UniverseConfig(name="mine", market="cn", freq="1d", plugins=tmp_path / plugins.FOLDER)
    assert config.universes["mine"] == expected


def test_what_is_rendered_is_read_back(tmp_path: Path) -> None:
    config = default_config(tmp_path)
    assert parse_config(render_config(config), home=tmp_path) == config
    link = SourceConfig(
        kind="files",
        path=Path("bars"),
        formats=("binance",),
        options=(("a", 1), ("b", "x")),
        plugins=tmp_path / plugins.FOLDER,
    )
    feed = dataclasses.replace(config.feeds["cn", "1d"], sources=(link,))
    changed = dataclasses.replace(config, feeds={**config.feeds, ("cn", "1d"): feed})
    assert parse_config(render_config(changed), home=tmp_path) == changed
    assert list(feed_members(feed)) == [("sources", "files"), ("formats", "binance")]
    assert isinstance(hash(feed), int)


def test_a_missing_plug_in_is_refused_by_the_file(tmp_path: Path) -> None:
    (tmp_path / "nofx.toml").write_text(HEAD + 'features = ["gone:FEATURES"]\n')
    with pytest.raises(ConfigError, match=r"plugins/gone.py is not there and no module gone is installed"):
        load_config(tmp_path)
