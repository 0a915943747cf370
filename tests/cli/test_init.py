"""``nofx init``: the default file, a universe of one's own, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from nofx_pipelines.cli.init import init_home
from nofx_pipelines.config_file import load_config, load_usable
from nofx_pipelines.errors import ConfigError, NofxError

HEADER = "instrument_id,session_date,open,high,low,close,volume,amount"
ROWS = [
    f"CN.SSE.{code},2024-01-{day:02d},10,10.5,9.8,10.2,10000,101000"
    for code in ("600000", "600001")
    for day in (2, 3, 4, 5, 8, 9, 10, 11, 12)
]


def init(home: Path, **wish: object) -> None:
    flags = dict.fromkeys(("market", "freq", "source", "path", "name")) | wish
    init_home(home, **flags)  # type: ignore[arg-type]


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    folder = tmp_path / "bars"
    folder.mkdir()
    (folder / "a.csv").write_text("\n".join([HEADER, *ROWS]) + "\n")
    return folder


def test_without_flags_three_simulated_universes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(tmp_path)
    assert sorted(load_config(tmp_path).universes) == ["cn", "crypto", "hk"]
    assert f"Next: nofx run --home {tmp_path}" in capsys.readouterr().out


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    init(tmp_path)
    before = (tmp_path / "nofx.toml").read_bytes()
    with pytest.raises(ConfigError, match="is there already"):
        init(tmp_path)
    assert (tmp_path / "nofx.toml").read_bytes() == before


def test_a_folder_of_bars_is_recognised_and_said(
    tmp_path: Path, bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    init(home, source="files", path=bars, name="mine")
    universe = load_config(home).universes["mine"]
    assert (universe.market, universe.freq) == ("cn", "1d")
    said = capsys.readouterr().out
    assert "18 bars of 2 instruments, cn 1d, 2024-01-02 to 2024-01-12" in said
    assert f"Next: nofx run --home {home} --universe mine" in said


def test_an_existing_file_is_extended_and_keeps_what_people_wrote(tmp_path: Path, bars: Path) -> None:
    home = tmp_path / "home"
    init(home, market="hk", source="simulated", name="first")
    file = home / "nofx.toml"
    file.write_text(file.read_text() + "\n# a note of mine\n")
    init(home, path=bars, name="second")
    assert "# a note of mine" in file.read_text()
    assert list(load_config(home).universes) == ["first", "second"]


def test_a_taken_name_is_refused_and_nothing_is_written(tmp_path: Path, bars: Path) -> None:
    home = tmp_path / "home"
    init(home, path=bars, name="mine")
    before = (home / "nofx.toml").read_bytes()
    with pytest.raises(ConfigError, match=r"'mine' is taken.*--name mine_2"):
        init(home, path=bars, name="mine")
    assert (home / "nofx.toml").read_bytes() == before


def test_a_feed_that_others_feed_is_refused(tmp_path: Path, bars: Path) -> None:
    home = tmp_path / "home"
    init(home, market="cn", source="simulated", name="first")
    with pytest.raises(ConfigError, match="is fed by simulated already"):
        init(home, path=bars, name="second")


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"market": "mars"}, "--market 'mars' is not one of cn, hk, crypto"),
        ({"freq": "2d"}, "--freq '2d' is not one of"),
        ({"source": "ftp"}, "--source 'ftp' is not one of files, simulated"),
        ({"source": "files"}, "--source files needs --path"),
        ({"path": Path("nowhere")}, "nowhere is not there"),
        ({"name": "../../x"}, "--name '../../x'"),
        ({"name": "a'; drop table"}, "--name"),
    ],
)
def test_a_wrong_flag_is_refused_before_anything_is_written(
    tmp_path: Path, wish: dict[str, object], words: str
) -> None:
    with pytest.raises(NofxError, match=words.replace("(", r"\(")):
        init(tmp_path / "home", **wish)
    assert not (tmp_path / "home").exists()


def test_bars_of_another_market_are_named(tmp_path: Path, bars: Path) -> None:
    with pytest.raises(NofxError, match="holds cn 1d; asked was hk"):
        init(tmp_path / "home", market="hk", path=bars)


def test_a_home_whose_plug_in_is_gone_is_extended(tmp_path: Path, bars: Path) -> None:
    home = tmp_path / "home"
    init(home)
    file = home / "nofx.toml"
    file.write_text(file.read_text().replace('"leak_check"]', '"leak_check", "gone:GATE"]', 1))
    init(home, source="simulated", market="hk", name="hk_two")
    config, refused = load_usable(home)
    assert sorted(config.universes) == ["crypto", "hk", "hk_two"]
    assert list(refused) == ["cn"]
    with pytest.raises(ConfigError, match="'cn' is taken"):
        init(home, source="simulated", market="cn", name="cn")
