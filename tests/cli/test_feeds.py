"""A feed whose source raises is named; the other feeds are planned and run, and shown, as if it were not."""

from __future__ import annotations

from pathlib import Path

import pytest

from nofx_pipelines import plugins
from nofx_pipelines.cli.run import Outcome, RunOptions, _jobs
from nofx_pipelines.cli.status import show_status
from nofx_pipelines.config_file import load_config
from nofx_pipelines.errors import PluginError

BROKEN = """
class Broken:
    def open(self, config, *, market, freq, start, end, now):
        raise OSError("the vendor is down")

SOURCE = Broken()
"""
TOML = """
[markets.cn.1d]
start = 2024-01-01
end = 2024-06-01
sources = [{ kind = "vendor:SOURCE" }]

[markets.crypto.1d]
start = 2024-01-01
end = 2024-06-01
sources = [{ kind = "simulated", instruments = 6 }]

[universes.shares]
market = "cn"
freq = "1d"

[universes.coins]
market = "crypto"
freq = "1d"
"""
SAYS = r"plug-in 'vendor:SOURCE' (source, {file}) raised OSError when"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of two feeds; the first one's source raises."""
    home = tmp_path / "home"
    (home / plugins.FOLDER).mkdir(parents=True)
    (home / plugins.FOLDER / "vendor.py").write_text(BROKEN)
    (home / "nofx.toml").write_text(TOML)
    return home


def jobs(home: Path, *universes: str) -> tuple[list[list[str]], Outcome]:
    """What ``nofx run`` has its workers do, and what it says of feeds that it left out."""
    from nofx_pipelines.cli.dagster_home import prepare_dagster_home

    config, outcome = load_config(home), Outcome()
    prepare_dagster_home(home)
    chosen = [config.universes[name] for name in universes or config.universes]
    return _jobs(config, chosen, RunOptions(home, universes, None, None, None, False), outcome), outcome


def test_a_run_names_the_failure_and_goes_on_with_the_other_feed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work, outcome = jobs(home)
    assert [names[-1] for names in work] == ["coins"]
    ((stage, message),) = outcome.failures
    assert stage == "cn/source_bars_1d"
    assert SAYS.format(file=home / plugins.FOLDER / "vendor.py") in message
    assert "the vendor is down (vendor.py, line 4)" in message
    assert f"cn/source_bars_1d            failed: {message}" in capsys.readouterr().out


def test_where_no_feed_is_left_the_failure_ends_the_run(home: Path) -> None:
    with pytest.raises(PluginError, match="the vendor is down"):
        jobs(home, "shares")
    assert jobs(home, "coins")[1].failures == []


def test_status_names_the_failure_and_shows_the_other_feed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_status(home)
    lines = capsys.readouterr().out.splitlines()
    broken = next(line for line in lines if line.startswith("cn/source_bars_1d"))
    assert "stale" in broken
    assert "plug-in 'vendor:SOURCE'" in broken
    assert not any(line.startswith("shares/") for line in lines)
    assert any(line.startswith("crypto/source_bars_1d") and "never ingested" in line for line in lines)
    assert any(line.startswith("coins/signals") for line in lines)
