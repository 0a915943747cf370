"""``nofx sql``: its options, and the end of what nothing in the engine interrupts."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from nofx_pipelines.cli.sql import bytes_of, half_of_memory, run_sql
from nofx_pipelines.errors import ConfigError, LakeError


def nofx_sql(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nofx_pipelines.cli", "sql", *arguments, "--home", str(home)],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("text", ["4", "GB", "4 apples", "-4GB", "1KB", "0GB", ""])
def test_a_size_has_a_unit(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--memory"):
        bytes_of(text)
    with pytest.raises(ConfigError, match="--memory"):
        run_sql(tmp_path, "SELECT 1", "table", memory=text)


def test_options_are_checked_and_have_their_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="--timeout 0 is not above 0"):
        run_sql(tmp_path, "SELECT 1", "table", timeout_s=0)
    with pytest.raises(ConfigError, match="--format 'xml'"):
        run_sql(tmp_path, "SELECT 1", "xml")
    with pytest.raises(LakeError, match=r"longer than 0\.2 s"):
        run_sql(tmp_path, "SELECT count(*) FROM range(100000000000)", "table", timeout_s=0.2)
    assert half_of_memory() > 2**28
    run_sql(tmp_path, "SELECT 1 AS one", "csv")
    run_sql(tmp_path, "SHOW TABLES", "csv")
    assert capsys.readouterr().out == "one\n1\nname,scopes\n"


@pytest.mark.parametrize(
    ("sql", "option", "problem"),
    [
        (
            "SELECT list_aggregate(range(0, 1000000000), 'sum')",
            "--memory=100MB",
            "more memory than 0.09",
        ),
        ("SELECT sleep_ms(60000)", "--timeout=0.2", "longer than 0.2 s"),
    ],
)
def test_what_the_engine_cannot_stop_is_ended(tmp_path: Path, sql: str, option: str, problem: str) -> None:
    began = time.monotonic()
    done = nofx_sql(tmp_path, sql, option)
    assert time.monotonic() - began < 45
    assert done.returncode == 2
    assert done.stdout == ""
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Next: " in done.stderr


@pytest.mark.parametrize("folder", ["a home", 'it\'s "home"', "行情 数据", "100%", "a#b&c;d"])
def test_any_home(tmp_path: Path, folder: str) -> None:
    done = nofx_sql(tmp_path / folder, "show tables", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
