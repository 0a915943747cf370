"""Writers killed with SIGKILL at random moments: the last version reads whole, the next write completes.

The writer replaces overlapping ranges of sessions, appends, widens the table and compacts, in turn,
and says what it has committed. After each kill the table is read by a new lake: every file against
its SHA-256, every session's rows against the content hash that its commit announced.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.lake.content import session_digests
from nofx_pipelines.lake.schemas import FEATURES
from nofx_pipelines.lake.store import Lake

WRITER = """
import sys, itertools
from datetime import date, timedelta
from pathlib import Path
import polars as pl
from nofx_pipelines.lake.store import Lake

table = Lake(Path(sys.argv[1])).table("cn", "features")
base = pl.read_parquet(sys.argv[2])
first = base["session_date"].min()
for number in itertools.count(int(sys.argv[3])):
    start = first + timedelta(days=number * 7 % 23)
    end = start + timedelta(days=1 + number % 9)
    rows = base.filter(pl.col("session_date").is_between(start, end, closed="left")).with_columns(
        wave=pl.lit(float(number)), **{f"extra_{number % 50}": pl.lit(1.0)}
    )
    version = table.replace(start, end, rows.lazy() if number % 3 else rows, run_id=str(number))
    if number % 5 == 0:
        version = table.compact(20_000).version
    print(version, flush=True)
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Forty sessions of two hundred instruments."""
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(40)]
    frame = pl.DataFrame({"session_date": days}).join(
        pl.DataFrame({"instrument_id": [f"I{n}" for n in range(200)]}), how="cross"
    )
    frame = frame.with_columns(
        ts_close=pl.col("session_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        version=pl.lit("v"),
    )
    path = tmp_path / "base.parquet"
    frame.select(list(FEATURES.columns)).write_parquet(path)
    return path


def write_until_killed(root: Path, base: Path, number: int, delay_seconds: float) -> int:
    """Run the writer, kill it after its first commit and ``delay_seconds``; its last version."""
    command = [sys.executable, "-c", WRITER, str(root), str(base), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(delay_seconds)
        writer.send_signal(signal.SIGKILL)
        said = [first, *writer.stdout.readlines()]
    assert writer.returncode == -signal.SIGKILL
    return max(int(line) for line in said if line.endswith("\n"))


def require_whole(root: Path) -> Lake:
    """Read everything with a new lake; each session has the rows that its last commit announced."""
    lake = Lake(root)
    table = lake.table("cn", "features")
    report = table.verify()
    assert report.whole, report
    rows = table.scan().collect()
    found = session_digests(rows, "session_date", FEATURES.key)
    announced = {day: (stamp.content, stamp.rows) for day, stamp in table.stamps().items() if stamp.rows}
    assert found == announced
    waves = rows.group_by("session_date").agg(pl.col("wave").n_unique())
    assert waves["wave"].unique().to_list() == [1]  # no session is half of one commit, half of another
    return lake


def kill_writers(root: Path, base: Path, kills: int, seed: int) -> int:
    """Kill, check and write again, ``kills`` times; how many kills left something behind to clear."""
    chance = random.Random(seed)
    number = 0
    interrupted = 0
    for _ in range(kills):
        last = write_until_killed(root, base, number, chance.uniform(0.0, 0.12))
        lake = require_whole(root)
        table = lake.table("cn", "features")
        version = table.version()
        assert version is not None
        assert version >= last  # what was said to be committed is
        named = {name for v in range(version + 1) for name in table.commit(v).added}
        orphans = {path.name for path in table.folder.glob("*.parquet")} - named
        interrupted += bool(orphans or list((table.folder / "_staging").iterdir()))
        again = pl.read_parquet(base).with_columns(wave=pl.lit(-1.0))
        assert table.replace(date(2024, 1, 1), date(2024, 2, 10), again) == version + 1
        require_whole(root)
        number = version + 2
    return interrupted


def finish(root: Path) -> None:
    """Vacuum clears what the killed writers left, and nothing else."""
    table = Lake(root, clock=lambda: time.time() + 2 * 86_400).table("cn", "features")
    table.vacuum(keep=[])
    assert list((table.folder / "_staging").iterdir()) == []
    assert {path.name for path in table.folder.glob("*.parquet")} == set(table.verify().ok)
    require_whole(root)


def test_killed_writers_leave_the_last_version_whole(tmp_path, base):
    kill_writers(tmp_path / "lake", base, kills=6, seed=11)
    finish(tmp_path / "lake")


@pytest.mark.slow
def test_a_hundred_killed_writers_leave_the_last_version_whole(tmp_path, base):
    interrupted = kill_writers(tmp_path / "lake", base, kills=100, seed=12)
    assert interrupted > 20  # else the moments were not in mid-write
    finish(tmp_path / "lake")
