"""New and revised files, and ranges of dates: only what depends on a change is computed again."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.lake.store import Lake
from tests.end_to_end.conftest import command
from tests.end_to_end.files_home import rows_of, sessions, write_csv, write_home

pytestmark = pytest.mark.xdist_group("changed_data")

START, CUT, END = date(2024, 1, 1), date(2024, 8, 1), date(2024, 9, 1)
HORIZON = 5


def contents(home: Path, scope: str, name: str) -> dict[date, tuple[int, str]]:
    """Per session, which version wrote it and what it holds."""
    stamps = Lake(home / "lake").table(scope, name).stamps()
    return {day: (stamp.version, stamp.content) for day, stamp in stamps.items()}


def moved(before: dict[date, tuple[int, str]], after: dict[date, tuple[int, str]]) -> list[date]:
    return sorted(day for day, stamp in after.items() if before.get(day) != stamp)


def test_a_range_first_then_the_rest_then_one_more_session(tmp_path: Path) -> None:
    """The tables end up as the files say, whatever the steps; each step writes what is new and no more."""
    home, folder = tmp_path / "home", tmp_path / "files"
    days = sessions(START, END)
    lines = rows_of(days)
    write_csv(folder / "history.csv", [line for line in lines if f",{days[-1]}," not in line])
    write_home(home, folder, START)
    nofx = command(home)

    nofx("run", "--end", str(CUT))
    bars = contents(home, "shares", "bars")
    assert (min(bars), max(bars)) == (days[0], max(day for day in days if day < CUT))

    write_csv(folder / f"{days[-1]}.csv", [line for line in lines if f",{days[-1]}," in line])
    before = {name: contents(home, "shares", name) for name in ("bars", "features", "labels")}
    output = nofx("run").stdout
    after = {name: contents(home, "shares", name) for name in before}
    new = [day for day in days if day >= CUT]
    assert moved(before["bars"], after["bars"]) == new
    assert moved(before["features"], after["features"]) == new
    reach = days[len(days) - len(new) - HORIZON :]
    assert moved(before["labels"], after["labels"]) == reach
    # within the week the search and the model stand; the champion scores the new sessions
    assert "shares/hpo_study " not in output.split("\n\n")[0]
    assert "shares/signals " in output.split("\n\n")[0]

    close = (
        Lake(home / "lake").table("shares", "bars").scan().select("instrument_id", "session_date", "close")
    )
    symbol = {"SH": "CN.SSE.", "SZ": "CN.SZSE."}
    said = {
        (symbol[cells[0][7:]] + cells[0][:6], date.fromisoformat(cells[1])): float(cells[5])
        for cells in (line.split(",") for line in lines)
    }
    held = {(name, day): price for name, day, price in close.collect().rows()}
    assert held == said


@pytest.mark.slow
def test_a_revised_bar_moves_what_stands_on_it_and_nothing_before(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "files"
    days = sessions(START, END)
    lines = rows_of(days)
    file = write_csv(folder / "history.csv", lines)
    write_home(home, folder, START)
    nofx = command(home)
    nofx("run")
    before = {name: contents(home, "shares", name) for name in ("bars", "features", "labels")}

    day = days[-20]
    at = next(i for i, line in enumerate(lines) if f",{day}," in line)
    symbol, said, opened, high, low, close, *rest = lines[at].split(",")
    lines[at] = ",".join([symbol, said, opened, high, low, f"{float(close) - 0.01:.2f}", *rest])
    write_csv(file, lines)
    nofx("run")
    after = {name: contents(home, "shares", name) for name in before}
    # later sessions are looked at again; only the next one's previous close has another value
    changed = [each for each, (_, content) in after["bars"].items() if before["bars"][each][1] != content]
    assert changed == days[-20:-18]
    assert min(moved(before["features"], after["features"])) == day
    assert min(moved(before["labels"], after["labels"])) >= days[-20 - HORIZON]
    revisions = (
        Lake(home / "lake")
        .table("cn", "source_bars_1d")
        .scan()
        .filter(pl.col("session_date") == day)
        .collect()
    )
    assert revisions["revision"].max() == 1
    assert "nothing recomputed" in nofx("run").stdout


@pytest.mark.slow
def test_a_seed_makes_another_history_and_the_same_seed_the_same(
    first_run: tuple[Path, str], tmp_path: Path
) -> None:
    found = []
    for name, seed in (("a", "11"), ("b", "11"), ("c", "12")):
        home = tmp_path / name
        home.mkdir()
        (home / "nofx.toml").write_text((first_run[0] / "nofx.toml").read_text())
        command(home)("run", "--seed", seed)
        lake = Lake(home / "lake")
        board = lake.table("cn", "leaderboard").scan().sort("kind", "metric").select("metric", "value", "lo")
        found.append((contents(home, "cn", "bars"), board.collect()))
    assert [content for _, content in found[0][0].values()] == [c for _, c in found[1][0].values()]
    assert found[0][1].equals(found[1][1])
    assert [content for _, content in found[0][0].values()] != [c for _, c in found[2][0].values()]
