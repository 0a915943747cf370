"""Other machines: time zones, locales, homes by any name, homes that cannot be written, full disks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nofx_pipelines.config_file import render_config
from nofx_pipelines.lake.store import Lake
from tests.end_to_end.conftest import small_config

pytestmark = pytest.mark.xdist_group("product")

CLOCKS = {
    "champion": ["decided_at"],
    "gates": ["decided_at"],
    "policy_champion": ["decided_at"],
    "hpo_trials": ["study", "started", "finished", "seconds"],
    "nas_trials": ["study", "started", "finished", "seconds"],
    "online_features": ["published_at"],
    "leaderboard": ["data_versions"],  # a run that was cut short has written more of them
    "quarantine": ["seen_at", "run_id"],
}
"""Columns that tell when a run was, by which code, and how many there were before."""
HOSTS = {
    "New York, no locale": {
        "TZ": "America/New_York", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
    },
    "Kathmandu": {"TZ": "Asia/Kathmandu", "LANG": "C.UTF-8"},
    "Apia, Turkish": {"TZ": "Pacific/Apia", "LC_ALL": "tr_TR.UTF-8"},
    "Lord Howe, German, Latin 1": {"TZ": "Australia/Lord_Howe", "LC_ALL": "de_DE.ISO-8859-1"},
}  # fmt: skip
HOMES = ("a home", 'it\'s "home"', "行情 数据")
DISKS_KIB = (300, 900, 1_500, 2_200, 3_000, 4_500, 6_000, 8_000, 10_000)


@pytest.fixture(scope="session")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of compiled locales, for ``LOCPATH``."""
    folder, compiler = tmp_path_factory.mktemp("locales"), shutil.which("localedef")
    if compiler is None or not Path("/usr/share/i18n/locales/de_DE").exists():
        pytest.skip("no sources of locales here: apt-get install locales")
    for name, charset in (("tr_TR", "UTF-8"), ("de_DE", "ISO-8859-1")):
        subprocess.run(
            [compiler, "-i", name, "-f", charset, str(folder / f"{name}.{charset}")], capture_output=True
        )
        assert (folder / f"{name}.{charset}").is_dir()
    return folder


def nofx(home: Path, *arguments: str, host: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """``nofx`` on another host: a clean environment but for ``host``."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "TZ", "PYTHONUTF8"))}
    return subprocess.run(
        [sys.executable, "-m", "nofx_pipelines.cli", *arguments, "--home", str(home)],
        capture_output=True,
        encoding="utf-8",
        env={**plain, "OMP_NUM_THREADS": "1", **(host or {})},
        timeout=300,
    )


def equal_tables(one: Path, other: Path) -> int:
    """Require the same rows in both lakes, clocks aside; how many tables there are."""
    ours, theirs = Lake(one / "lake"), Lake(other / "lake")
    assert ours.tables() == theirs.tables()
    for scope, name in ours.tables():
        assert theirs.table(scope, name).verify().whole
        left, right = (
            lake.table(scope, name).scan().collect().drop(CLOCKS.get(name, ()), strict=False)
            for lake in (ours, theirs)
        )
        assert left.equals(right), f"{scope}/{name}"
    return len(ours.tables())


def fresh(home: Path) -> Path:
    home.mkdir(parents=True)
    (home / "nofx.toml").write_text(render_config(small_config(home)), encoding="utf-8")
    return home


@pytest.mark.slow
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_every_host_has_the_same_tables(
    first_run: tuple[Path, str], tmp_path: Path, locales: Path, host: dict[str, str]
) -> None:
    home = fresh(tmp_path / "行情 it's")
    done = nofx(home, "run", host={**host, "LOCPATH": str(locales)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert equal_tables(first_run[0], home) > 25


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_every_host_reads_a_home_by_any_name(
    first_run: tuple[Path, str], tmp_path: Path, locales: Path, host: dict[str, str]
) -> None:
    home = tmp_path / HOMES[2]
    shutil.copytree(first_run[0], home)
    query = "SELECT '价' AS c, session_date, max(ts_close) AS t FROM bars GROUP BY ALL ORDER BY ALL LIMIT 1"
    done = nofx(home, "sql", query, "--format", "csv", host={**host, "LOCPATH": str(locales)})
    assert done.stderr == ""
    assert done.stdout == "c,session_date,t\n价,2024-01-02,2024-01-02T07:00:00.000000+0000\n"


@pytest.mark.parametrize("name", HOMES)
def test_a_home_by_any_name_is_reported_and_exported(
    first_run: tuple[Path, str], tmp_path: Path, name: str
) -> None:
    home = tmp_path / name
    shutil.copytree(first_run[0], home)
    shown = nofx(home, "report")
    assert shown.returncode == 0, shown.stderr
    assert f"{home}/report/index.html" in shown.stdout
    page = tmp_path / "elsewhere" / name / "page.html"
    assert nofx(home, "report", "--output", str(page)).returncode == 0
    assert page.read_text(encoding="utf-8").endswith("</html>\n")
    drawn = page.with_name("features.html")
    assert (
        nofx(home, "features", "plot", "sma_20", "--universe", "cn", "--output", str(drawn)).returncode == 0
    )
    assert "<svg" in drawn.read_text(encoding="utf-8")


def inside(mount: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``nofx`` in a mount namespace of its own, after ``mount``, a line of the shell."""
    script = f'{mount}; shift; exec "$@"'
    command = [sys.executable, "-m", "nofx_pipelines.cli", *arguments, "--home", str(home)]
    return subprocess.run(
        ["unshare", "-m", "bash", "-c", script, "bash", str(home), *command],
        capture_output=True,
        text=True,
        cwd=home.parent,
        timeout=300,
    )


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 77'
READS = (
    ["status"],
    ["sql", "SELECT count(*) AS n FROM bars"],
    ["models"],
    ["doctor"],
    ["report", "--output"],
)
WRITES = (["run"], ["compact"], ["report"], ["new", "features", "mine"], ["init", "--market", "hk"])


def test_a_read_only_home_is_read_and_refuses_the_rest_in_one_line(home: Path, tmp_path: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in home.rglob("*"))
    for arguments in READS:
        more = [str(tmp_path / "page.html")] if arguments[0] == "report" else []
        done = inside(READ_ONLY, home, *arguments, *more)
        if done.returncode == 77:
            pytest.skip("mounting is not allowed here")
        assert (done.returncode, done.stderr) == (0, ""), arguments
        assert done.stdout
    assert (tmp_path / "page.html").exists()
    for arguments in WRITES:
        done = inside(READ_ONLY, home, *arguments)
        assert done.returncode == 2, arguments
        assert done.stderr.startswith("nofx: ")
        assert done.stderr.count("\n") == 1
        assert "cannot be written" in done.stderr
        assert "Next: make " in done.stderr
    assert sorted((path, path.stat().st_mtime_ns) for path in home.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("kib", DISKS_KIB)
def test_a_run_on_a_full_disk_ends_equal_when_there_is_room(
    first_run: tuple[Path, str], tmp_path: Path, kib: int
) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    for folder in (disk, kept):
        folder.mkdir()
    config, nofx_run = fresh(tmp_path / "made") / "nofx.toml", f'"{sys.executable}" -m nofx_pipelines.cli run'
    script = f"""
        mount -t tmpfs -o size={kib}k none "{disk}" || exit 77
        mkdir "{disk}/home" && cp "{config}" "{disk}/home/"
        {nofx_run} --home "{disk}/home" > "{kept}/first" 2>&1 && exit 78
        mount -o remount,size=200m "{disk}"
        cp -r "{disk}/home" "{kept}/half"
        {nofx_run} --home "{disk}/home" > "{kept}/second" 2>&1 || exit 79
        cp -r "{disk}/home" "{kept}/whole"
    """
    done = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, timeout=600)
    if done.returncode == 77:
        pytest.skip("mounting is not allowed here")
    assert done.returncode == 0, done.stderr
    said = (kept / "first").read_text()
    assert "no space is left for" in said
    assert "every table is as its last commit left it" in said
    assert "Traceback" not in said
    assert "http" not in said
    half = Lake(kept / "half" / "lake")
    assert all(half.table(*key).verify().whole for key in half.tables())
    assert equal_tables(first_run[0], kept / "whole") > 25
