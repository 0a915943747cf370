"""Bad input through the doors that a user has: the command line, ``nofx.toml``, files and the inbox.

Each is a clear error or quarantine, the rest goes on, and nothing is half-written. The readers' own
tests (tests/market/sources/files/test_bad_input.py) go through the rules one by one.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.build import build_definitions
from nofx_pipelines.cli.app import run
from nofx_pipelines.config_file import load_config
from nofx_pipelines.lake.store import Lake
from tests.end_to_end.files_home import (
    HEADER,
    SYMBOLS,
    files_config,
    rows_of,
    sessions,
    write_csv,
    write_home,
)

START, END = date(2024, 1, 2), date(2024, 3, 1)
DAYS = sessions(START, END)
LINES = rows_of(DAYS)
RANGE = "dagster/asset_partition_range_"

Nofx = Callable[..., tuple[int, str, str]]


@pytest.fixture
def nofx(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Nofx:
    """``nofx ARGUMENTS`` in this process: exit status, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nofx", *(str(argument) for argument in arguments)])
        code = 0
        try:
            run()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def to_bars(home: Path, first: str = "2024-01-01", last: str = "2024-02-01") -> dict[str, dict[str, Any]]:
    """Run ingestion and bars as assets; each step's metadata."""
    config = load_config(home)
    definitions = build_definitions(config)
    found: dict[str, dict[str, Any]] = {}
    jobs = (("ingest_cn_1d", None), (next(iter(config.universes)), "bars"))
    with dg.DagsterInstance.ephemeral() as instance:
        for job, stage in jobs:
            done = definitions.resolve_job_def(job).execute_in_process(
                instance=instance,
                asset_selection=None if stage is None else [dg.AssetKey([job, stage])],
                tags={f"{RANGE}start": first, f"{RANGE}end": last},
            )
            assert done.success
            for event in done.get_asset_materialization_events():
                made = event.step_materialization_data.materialization
                found["/".join(made.asset_key.path)] = {k: v.value for k, v in made.metadata.items()}
    return found


def bars_of(home: Path) -> pl.DataFrame:
    return Lake(home / "lake").table("shares", "bars").scan().sort("instrument_id", "session_date").collect()


def quarantined(home: Path, scope: str = "cn") -> pl.DataFrame:
    return Lake(home / "lake").table(scope, "quarantine").scan().collect()


def everything(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


# -- the command line and nofx.toml


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--market", "mars"], ["--market 'mars' is not one of cn, hk, crypto"]),
        (["--market", "CN"], ["--market 'CN' is not one of"]),
        (["--freq", "2m"], ["--freq '2m' is not one of 1d, 1h"]),
        (["--source", "kafka"], ["--source 'kafka' is not one of files, simulated"]),
        (["--source", "files"], ["--source files needs --path"]),
        (["--path", "/nowhere/at/all"], ["--path /nowhere/at/all is not there"]),
        (["--name", "../../x"], ["'../../x'", "a name starts with a-z"]),
        (["--name", "a'; drop table"], ["drop table", "a name starts with a-z"]),
        (["--name", "x" * 41], ["at most 40"]),
        (["--market", "cn", "--name", "hk"], ["a market's name is only used by a universe of that market"]),
    ],
)
def test_init_refuses_and_writes_nothing(
    nofx: Nofx, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    code, _, said = nofx("init", *arguments, "--home", tmp_path / "home")
    assert code == 2
    assert said.count("\n") == 1
    assert [word for word in words if word not in said] == []
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[markets.cn.1d]", "[markets.mars.1d]", ["'mars'", "cn, hk, crypto"]),
        ("[markets.cn.1d]", "[markets.cn.2m]", ["'2m'", "1d, 1h"]),
        ('kind = "files"', 'kind = "kafka"', ["'kafka'", "simulated", "files"]),
        ("trials = 1", "trials = 'many'", ["search.trials = 'many'", "trials = 30"]),
        ("test_fraction = 0.4", "test_fraction = nan", ["test_fraction = nan"]),
        ("start = 2024-01-02", "start = yesterday", ["not valid TOML"]),
        ('members = ["all"]', "members = []", ["members"]),
        ("[universes.shares]", '[universes."../../x"]', ["../../x"]),
    ],
)
def test_a_wrong_file_is_refused_by_line_whatever_the_command(
    nofx: Nofx, tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    write_home(tmp_path, tmp_path / "files", START)
    file = tmp_path / "nofx.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    before = everything(tmp_path)
    for command in ("run", "status"):
        code, out, said = nofx(command, "--home", tmp_path)
        assert (code, out) == (2, "")
        assert said.startswith(f"nofx: {file}:")
        assert [word for word in words if word not in said] == [], said
    assert everything(tmp_path) == before


@pytest.mark.parametrize("folder", ['it\'s "mine"', "line\nbreak", "汉字 и", "back\\slash", "tab\there"])
def test_any_folder_name_survives_the_file(nofx: Nofx, tmp_path: Path, folder: str) -> None:
    source = write_csv(tmp_path / folder / "a.csv", LINES).parent
    code, _, said = nofx("init", "--path", source, "--home", tmp_path / "home")
    assert code == 0, said
    (feed,) = load_config(tmp_path / "home").feeds.values()
    assert feed.sources[0].path == source


# -- files


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        (
            "a.csv",
            "symbol,session_date,open,high,low\n600519.SH,2024-01-02,1,1,1\n",
            ["symbol, session_date"],
        ),
        ("a.csv", "", ["no bars"]),
        ("a.csv", HEADER + "\n", ["no bars"]),
        ("a.csv", "\x00\x01\x02\x03", ["a.csv"]),
        (
            "a.csv.gz",
            gzip.compress(("\n".join([HEADER, *LINES]) + "\n").encode(), mtime=0)[:-20],
            ["a.csv.gz"],
        ),
        ("a.csv", HEADER + "\n" + "\n".join(LINES).replace("600", "../../x"), ["no bars"]),
    ],
)
def test_a_file_without_usable_bars_makes_no_universe(
    nofx: Nofx, tmp_path: Path, name: str, data: str | bytes, words: list[str]
) -> None:
    file = tmp_path / name
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    if words == ["no bars"] and "../../x" in str(data):
        file.write_text(HEADER + "\n" + "\n".join(f"../../x{line[9:]}" for line in LINES))
    code, out, said = nofx("init", "--path", file, "--market", "cn", "--freq", "1d", "--home", tmp_path / "h")
    assert code == 2
    assert "Traceback" not in said
    assert [word for word in words if word not in out + said] == [], out + said
    assert not (tmp_path / "h").exists()


def cells(line: str, **changed: str) -> str:
    names = HEADER.split(",")
    return ",".join(changed.get(name, cell) for name, cell in zip(names, line.split(","), strict=True))


BAD_ROWS = {
    "text in a number": (cells(LINES[5], open="ten"), "not_a_number"),
    "zero price": (cells(LINES[6], open="0.00", low="0.00"), None),
    "negative price": (cells(LINES[7], low="-1.00"), None),
    "a path as symbol": (cells(LINES[8], symbol="../../x"), "bad_symbol"),
    "SQL as symbol": (cells(LINES[9], symbol="a'; drop table bars; --"), "bad_symbol"),
    "infinite volume": (cells(LINES[10], volume="inf"), "not_finite"),
    "high below low": (cells(LINES[11], high="1.00"), None),
    "no such day": (cells(LINES[12], session_date="2024-02-30"), "bad_time"),
}


def test_bad_rows_go_to_quarantine_and_the_rest_goes_on(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "files"
    bad = {line for line, _ in BAD_ROWS.values()}
    good = [line for place, line in enumerate(LINES) if place not in range(5, 13)]
    write_csv(folder / "a.csv", [*good[:40], *bad, *good[40:]])
    write_home(home, folder, START)
    found = to_bars(home)
    assert found["cn/source_bars_1d"]["rejected"] == len(BAD_ROWS)
    refused = quarantined(home)
    assert refused.height == len(BAD_ROWS)
    assert refused["reason"].str.len_chars().min() > 0
    rules = set(refused["rule"])
    assert {rule for _, rule in BAD_ROWS.values() if rule} <= rules
    bars = bars_of(home)
    assert bars.filter(pl.col("status") == "traded").height == len(good)
    assert bars["instrument_id"].n_unique() == len(SYMBOLS)
    # nothing under a name that came from the file
    assert not any("drop" in str(f) or f.name == "x" for f in tmp_path.rglob("*"))
    # the same rows again are the same refusals
    to_bars(home)
    assert quarantined(home)["quarantine_id"].sort().equals(refused["quarantine_id"].sort())


def test_unsorted_and_repeated_rows_come_to_the_same_bars(tmp_path: Path) -> None:
    tidy, untidy = tmp_path / "tidy", tmp_path / "untidy"
    write_csv(tidy / "files" / "a.csv", LINES)
    write_csv(untidy / "files" / "a.csv", [*reversed(LINES), *LINES[:30], LINES[3]])
    for place in (tidy, untidy):
        write_home(place / "home", place / "files", START)
        to_bars(place / "home")
    columns = ["instrument_id", "session_date", "open", "high", "low", "close", "volume", "amount", "status"]
    assert bars_of(untidy / "home").select(columns).equals(bars_of(tidy / "home").select(columns))


def test_rows_in_two_time_zones_are_not_guessed(tmp_path: Path) -> None:
    """Most rows say UTC; those without a zone are refused, not shifted."""
    home, folder = tmp_path / "home", tmp_path / "files"
    header = HEADER.replace("session_date", "ts_close")
    stamped = [
        cells(line, session_date=f"{line.split(',')[1]}{'T07:00:00Z' if place % 10 else ' 15:00:00'}")
        for place, line in enumerate(LINES)
    ]
    write_csv(folder / "a.csv", stamped, header)
    write_home(home, folder, START)
    to_bars(home)
    bare = sum(place % 10 == 0 for place in range(len(LINES)))
    refused = quarantined(home)
    assert set(refused["rule"]) == {"mixed_time_zone"}
    assert refused.height == bare
    bars = bars_of(home).filter(pl.col("status") == "traded")
    assert bars.height == len(LINES) - bare
    assert set(bars["ts_close"].dt.strftime("%H:%M")) == {"07:00"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.csv", b""),
        ("columns.csv", b"a,b,c\n1,2,3\n"),
        ("cut.csv.gz", gzip.compress(("\n".join([HEADER, *LINES]) + "\n").encode(), mtime=0)[:-20]),
        ("noise.parquet", b"PAR1" + bytes(range(256)) + b"PAR1"),
    ],
)
def test_a_bad_file_among_good_ones_costs_itself(tmp_path: Path, name: str, data: bytes) -> None:
    home, folder = tmp_path / "home", tmp_path / "files"
    write_csv(folder / "good.csv", LINES)
    (folder / name).write_bytes(data)
    write_home(home, folder, START)
    found = to_bars(home)
    assert bars_of(home).filter(pl.col("status") == "traded").height == len(LINES)
    # named either among the refusals or among what was recognised
    named = found["cn/source_bars_1d"]["decisions"]
    if Lake(home / "lake").table("cn", "quarantine").exists():
        named += " ".join(quarantined(home)["file"])
    assert name in named


# -- the inbox


@pytest.fixture
def inbox_home(tmp_path: Path) -> Path:
    write_csv(tmp_path / "files" / "good.csv", [line for line in LINES if f",{DAYS[-1]}," not in line])
    write_home(tmp_path / "home", tmp_path / "files", START)
    (tmp_path / "home" / "inbox" / "cn" / "1d").mkdir(parents=True)
    return tmp_path / "home"


def look(home: Path, cursor: str | None) -> tuple[list[dg.RunRequest], str | None]:
    """Evaluate the sensor once, as the daemon does."""
    definitions = build_definitions(load_config(home))
    (sensor,) = (s for s in definitions.sensors or () if s.name.startswith("inbox_"))
    assert isinstance(sensor, dg.SensorDefinition)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance, cursor=cursor, repository_def=definitions.get_repository_def()
        )
        said = sensor.evaluate_tick(context)
    return list(said.run_requests or []), said.cursor if said.cursor is not None else cursor


def test_the_inbox_takes_each_file_once(inbox_home: Path) -> None:
    inbox = inbox_home / "inbox" / "cn" / "1d"
    assert look(inbox_home, None)[0] == []
    (inbox / "half.csv.part").write_text("half")
    (inbox / ".hidden").write_text("no")
    assert look(inbox_home, None)[0] == []

    file = write_csv(inbox / "new.csv", [line for line in LINES if f",{DAYS[-1]}," in line])
    (request,), cursor = look(inbox_home, None)
    assert (request.tags[f"{RANGE}start"], request.tags[f"{RANGE}end"]) == ("2024-02-01", "2024-02-01")
    assert look(inbox_home, cursor) == ([], cursor)
    (inbox / "copy.csv").write_bytes(file.read_bytes())
    file.rename(inbox / "renamed.csv")
    assert look(inbox_home, cursor)[0] == []

    to_bars(inbox_home, "2024-02-01", "2024-02-01")
    assert bars_of(inbox_home)["session_date"].max() == DAYS[-1]
    # rewritten it is a new file
    write_csv(inbox / "renamed.csv", [line for line in LINES if f",{DAYS[0]}," in line])
    (again,), _ = look(inbox_home, cursor)
    assert again.tags[f"{RANGE}start"] == "2024-01-01"
    assert again.run_key != request.run_key


def test_a_bad_file_in_the_inbox_costs_itself(inbox_home: Path) -> None:
    inbox = inbox_home / "inbox" / "cn" / "1d"
    (inbox / "bad.csv").write_text("nothing,of,ours\n1,2,3\n")
    (inbox / "empty.csv").write_text("")
    requests, cursor = look(inbox_home, None)
    assert requests == []
    assert len(json.loads(cursor or "[]")) == 2
    # the feed still runs, although nothing in the inbox is of use
    to_bars(inbox_home)
    assert bars_of(inbox_home)["session_date"].max() == DAYS[-2]
    write_csv(inbox / "new.csv", [line for line in LINES if f",{DAYS[-1]}," in line])
    requests, _ = look(inbox_home, cursor)
    assert len(requests) == 1
    to_bars(inbox_home)
    assert bars_of(inbox_home)["session_date"].max() == DAYS[-1]


# -- the schedules


def fired(home: Path, moment: datetime) -> dg.RunRequest | dg.SkipReason:
    definitions = build_definitions(files_config(home, home / "files", START))
    (schedule,) = (s for s in definitions.schedules or () if s.name.endswith("_after_close"))
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.execution_timezone == "Asia/Shanghai"
    said = schedule.evaluate_tick(dg.build_schedule_context(scheduled_execution_time=moment))
    if said.run_requests:
        (request,) = said.run_requests
        return request
    return dg.SkipReason(said.skip_message)


def test_the_close_asks_for_its_session_and_the_labels_that_it_decides(tmp_path: Path) -> None:
    from zoneinfo import ZoneInfo

    close = datetime(2024, 3, 6, 16, 30, tzinfo=ZoneInfo("Asia/Shanghai"))
    request = fired(tmp_path, close)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "shares:2024-03-06"
    # five sessions back from 6 March is 28 February
    assert (request.tags[f"{RANGE}start"], request.tags[f"{RANGE}end"]) == ("2024-02-01", "2024-03-01")
    later = fired(tmp_path, close + timedelta(days=6))
    assert isinstance(later, dg.RunRequest)
    assert later.tags[f"{RANGE}start"] == "2024-03-01"


@pytest.mark.parametrize("day", [date(2024, 10, 1), date(2024, 2, 12), date(2024, 3, 9), date(2023, 12, 29)])
def test_holidays_and_days_before_the_feed_are_skipped(tmp_path: Path, day: date) -> None:
    from zoneinfo import ZoneInfo

    said = fired(tmp_path, datetime(day.year, day.month, day.day, 16, 30, tzinfo=ZoneInfo("Asia/Shanghai")))
    assert isinstance(said, dg.SkipReason)
    assert str(day) in (said.skip_message or "")
