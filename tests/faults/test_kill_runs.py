"""``nofx run``, its workers and Dagster's daemon killed at random moments: the next run ends by itself.

Its tables are those of an undisturbed run, every slot is free, no run, backfill or second version is left.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nofx_pipelines.config_file import render_config
from tests.end_to_end.conftest import command, small_config
from tests.faults.kill_runs import Reference, Tally, differences, disturb

pytestmark = pytest.mark.xdist_group("kill_runs")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("kill_runs")
    finished = folder / "finished"
    finished.mkdir()
    (finished / "nofx.toml").write_text(render_config(small_config(finished)))
    command(finished)("run")
    return Reference.make(finished, folder)


def test_killed_runs_are_followed_by_whole_ones(reference: Reference, tmp_path: Path) -> None:
    tally = Tally()
    disturb(reference, tmp_path, tally, kills=6, seed=40, kinds=("parent", "worker", "group"))
    assert tally.faults == []
    assert sum(tally.kills.values()) == 6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_twenty_kills_of_every_kind(reference: Reference, tmp_path: Path, seed: int) -> None:
    tally = Tally()
    disturb(reference, tmp_path, tally, kills=20, seed=seed)
    assert tally.faults == []
    assert sum(tally.kills.values()) == 20
    assert sum(tally.hits.values()) > 10  # else the moments met nothing


def test_the_judge_sees_what_is_left(reference: Reference, tmp_path: Path) -> None:
    """Each kind of trace that a killed run may leave is a violation."""
    home = tmp_path / "home"
    shutil.copytree(reference.fresh, home)
    assert differences(home, reference.fresh) == []
    with closing(sqlite3.connect(home / "dagster" / "history" / "runs.db")) as database, database:
        database.execute("update runs set status = 'STARTED' where id = (select max(id) from runs)")
    (left,) = differences(home, reference.fresh)
    assert left.endswith("'STARTED') left")
    assert [text for text in differences(reference.stale, reference.fresh) if "has other rows" in text]
