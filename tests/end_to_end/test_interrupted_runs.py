"""``nofx run`` killed or interrupted anywhere: what was committed reads whole, the next run completes."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from nofx_pipelines.config_file import render_config
from nofx_pipelines.lake.store import Lake
from tests.end_to_end.conftest import command, small_config
from tests.faults.kill_runs import differences, start

pytestmark = pytest.mark.xdist_group("product")

# stages of one run, in order: a run is hit while one of them is under way
STAGES = ("source_bars_1d", "bars", "features", "training_set", "hpo_study", "champion", "mart")
TABLES = ("bars", "features", "labels", "training_set", "gates", "leaderboard", "signals")


def prepare(home: Path) -> Path:
    home.mkdir()
    (home / "nofx.toml").write_text(render_config(small_config(home)))
    return home


def hit(home: Path, number: signal.Signals, after: str | None, seconds: float, *, group: bool) -> int:
    """Start ``nofx run``, wait for the line of stage ``after`` (None: none) and ``seconds``; then the signal.

    The group is what Ctrl-C in a terminal and the kernel's own kills reach; else ``nofx`` alone.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "nofx_pipelines.cli", "run", "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        text=True,
    )
    assert process.stdout is not None
    while after is not None and (line := process.stdout.readline()):
        if line.split()[0:1] in ([f"cn/{after}"], [after]):
            break
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(process.pid, number)
    process.stdout.read()  # until the last process that holds the pipe has ended
    return process.wait(timeout=120)


def whole(home: Path) -> None:
    """Every byte in the lake is what its commits say, and every table reads."""
    lake = Lake(home / "lake")
    for scope, name in lake.tables():
        table = lake.table(scope, name)
        if table.exists():
            assert table.verify().whole, f"{scope}/{name}"
            table.scan().collect()


def same(home: Path, other: Path) -> None:
    """The tables hold what an undisturbed run writes."""
    for name in TABLES:
        mine, theirs = (Lake(place / "lake").table("cn", name).stamp() for place in (home, other))
        assert mine is not None, name
        assert theirs is not None, name
        assert mine.rows == theirs.rows, name
        if name in ("features", "labels", "training_set"):
            assert mine.content == theirs.content, name


def states(home: Path) -> list[str]:
    """The status of every run, the newest first."""
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        return [run.status.value for run in instance.get_runs()]


def children_of(home: Path) -> list[str]:
    """The command lines of processes that name the home."""
    named = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                named += [words] if str(home) in words else []
    return named


def finish(home: Path, undisturbed: Path) -> None:
    whole(home)
    output = command(home)("run").stdout
    assert "verdict: " in output
    assert "FAILED" not in output
    whole(home)
    same(home, undisturbed)
    assert (home / "report" / "index.html").stat().st_size > 10_000
    assert not [f for f in home.rglob("*.part*") if "dagster" not in f.parts]


@pytest.mark.parametrize(
    ("number", "after", "group"),
    [
        # the worker ends soon after; the next run may begin before
        pytest.param(signal.SIGKILL, "bars", False, id="parent-killed"),
        pytest.param(signal.SIGKILL, "bars", True, id="killed", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "training_set", True, id="ctrl-c", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "bars", False, id="terminated"),
    ],
)
def test_a_run_that_was_hit_goes_on(
    first_run: tuple[Path, str], tmp_path: Path, number: signal.Signals, after: str, *, group: bool
) -> None:
    home = prepare(tmp_path / "home")
    status = hit(home, number, after, 0.3, group=group)
    assert status == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -number)
    if number == signal.SIGTERM:
        assert states(home) == ["CANCELED", "SUCCESS"]  # the universe's run, and its ingestion
        assert not children_of(home)
    finish(home, first_run[0])


@pytest.mark.slow
def test_hit_at_random_moments_again_and_again(first_run: tuple[Path, str], tmp_path: Path) -> None:
    """One home, hit time after time; it always reads whole and comes to the same tables."""
    draw = random.Random(3)
    home = prepare(tmp_path / "home")
    for after in (None, *STAGES):
        number = draw.choice((signal.SIGKILL, signal.SIGINT))
        hit(home, number, after, draw.uniform(0, 4 if after is None else 1.5), group=draw.random() < 0.7)
        whole(home)
    finish(home, first_run[0])


def test_two_runs_at_once_share_the_work(first_run: tuple[Path, str], tmp_path: Path) -> None:
    """One computes a stage, the other waits for it and finds it fresh: same tables, each version once."""
    homes = [tmp_path / "alone", tmp_path / "shared"]
    for home in homes:
        shutil.copytree(first_run[0], home)
        text = (home / "nofx.toml").read_text()
        (home / "nofx.toml").write_text(text.replace("resamples = 200", "resamples = 203"))
    command(homes[0])("run")
    both = [start(homes[1], "run") for _ in range(2)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    assert differences(homes[1], homes[0]) == []


def test_a_home_with_any_name(first_run: tuple[Path, str], tmp_path: Path) -> None:
    """A leading dash, spaces, quotes, Chinese, and what addresses give a meaning to, in one name."""
    home = prepare(tmp_path / '-it\'s 100% "数据" #1 [a];&+:')
    done = subprocess.run(
        [sys.executable, "-m", "nofx_pipelines.cli", "run", f"--home={home.name}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [home.name]
    whole(home)
    same(home, first_run[0])


@pytest.mark.parametrize("name", ["a%20b", "what?"])
def test_a_home_whose_name_is_misread_is_refused(tmp_path: Path, name: str) -> None:
    home = prepare(tmp_path / name)
    done = command(home)("run", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"nofx: the path {str(home)!r} holds ")
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == [name, "nofx.toml"]
