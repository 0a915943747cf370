"""The product as a user meets it: run, run again, change something, ask, reproduce."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.build import build_definitions
from nofx_pipelines.cli.app import run
from nofx_pipelines.config_file import load_config
from nofx_pipelines.graph import STAGES, UNIVERSE_STAGES
from nofx_pipelines.lake.store import Lake
from tests.end_to_end.conftest import command

pytestmark = pytest.mark.xdist_group("product")

RANGE = "dagster/asset_partition_range_"


def ran(output: str) -> set[str]:
    """The stages that a run executed: the lines with rows and seconds."""
    return {
        line.split()[0] for line in output.splitlines() if " rows " in line and line.rstrip().endswith("cpu")
    }


def test_a_run_says_what_it_did_and_what_came_of_it(first_run: tuple[Path, str]) -> None:
    home, output = first_run
    expected = {f"cn/{stage.name}" for stage in UNIVERSE_STAGES} | {"cn/instruments", "cn/source_bars_1d"}
    assert ran(output) == expected | {"mart", "report"}
    for words in ("baseline (ridge)", "leak check: nothing", "verdict: ", f"{home}/report/index.html"):
        assert words in output
    page = (home / "report" / "index.html").read_text()
    assert page.count("<svg") >= 6
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page


def test_nothing_is_computed_twice(home: Path) -> None:
    (home / "nofx.toml").write_text((home / "nofx.toml").read_text())  # touched, not changed
    output = command(home)("run").stdout
    assert "nothing recomputed" in output
    assert ran(output) == set()
    assert f"\n0 of {1 + len(STAGES)} stages are not fresh" in command(home)("status").stdout


def test_a_changed_horizon_recomputes_labels_and_what_follows(home: Path) -> None:
    file = home / "nofx.toml"
    file.write_text(file.read_text().replace("horizon = 5", "horizon = 3"))
    before = {name: Lake(home / "lake").table("cn", name).version() for name in ("bars", "features")}
    output = command(home)("run").stdout
    # only new data waits for the weekly refresh; another horizon is another question to the search
    follows = ("labels", *(s.name for s in UNIVERSE_STAGES if "labels" in {a.name for a in s.above()}))
    assert ran(output) == {*(f"cn/{name}" for name in follows), "mart", "report"}
    after = {name: Lake(home / "lake").table("cn", name).version() for name in ("bars", "features")}
    assert before == after


def test_questions_are_answered(first_run: tuple[Path, str]) -> None:
    home, _ = first_run
    nofx = command(home)
    query = "select status, count(*) as n from bars group by status order by n desc"
    rows = json.loads(nofx("sql", query, "--format", "json").stdout)
    assert rows[0]["status"] == "traded"
    listed = list(csv.DictReader(io.StringIO(nofx("sql", query, "--format", "csv").stdout)))
    assert [int(row["n"]) for row in listed] == [row["n"] for row in rows]
    assert nofx("sql", query).stdout.split()[:2] == ["status", "n"]
    models = nofx("models").stdout
    assert "champion" in models
    assert models.count("nofx-signal-cn") == 2
    assert "FAIL" not in nofx("doctor").stdout
    assert "index.html" in nofx("report").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--universe", "mars"], ["'mars'", "which has cn", "Next: nofx run --universe cn"]),
        (["run", "--start", "soon"], ["--start 'soon' is not a date"]),
        (["run", "--start", "2024-03-01", "--end", "2024-02-01"], ["is not after --start"]),
        (["run", "--start", "2030-01-01"], ["no session in", "the sources hold"]),
        (["sql", "drop table bars"], ["one SELECT"]),
        (["sql", "select * from nowhere"], ["nowhere", "tables are"]),
        (["sql", "select 1", "--format", "xml"], ["'xml' is not one of table, csv, json"]),
        (["reproduce", "nofx-signal-mars"], ["no model 'nofx-signal-mars'"]),
        (["reproduce", "nofx-signal-cn/99"], ["no version 99"]),
        (["init", "--market", "mars"], ["--market 'mars' is not one of cn, hk, crypto"]),
        (["init", "--freq", "2m"], ["--freq '2m' is not one of"]),
        (["init", "--source", "kafka"], ["--source 'kafka' is not one of files, simulated"]),
        (["init", "--name", "../../x"], ["'../../x'", "a name starts with a-z"]),
        (["init", "--path", "/nowhere"], ["--path /nowhere is not there"]),
        (["init", "--market", "cn", "--name", "cn"], ["'cn' is taken"]),
        (["init"], ["is there already"]),
    ],
)
def test_a_wrong_command_is_refused_in_one_line(
    first_run: tuple[Path, str],
    arguments: list[str],
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["nofx", *arguments, "--home", str(first_run[0])])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert [word for word in words if word not in said] == []


def test_a_wrong_setting_is_refused_by_line(home: Path) -> None:
    file = home / "nofx.toml"
    file.write_text(file.read_text().replace("horizon = 5", "horizon = 0"))
    done = command(home)("run", check=False)
    assert done.returncode == 2
    assert "labels.horizon = 0" in done.stderr
    assert f"{file}:" in done.stderr


def test_the_champion_is_trained_again_to_the_same_bytes(first_run: tuple[Path, str]) -> None:
    output = command(first_run[0])("reproduce", "nofx-signal-cn@champion").stdout
    assert "the same weights, byte for byte" in output


def test_one_month_alone_is_what_the_whole_history_has(first_run: tuple[Path, str], tmp_path: Path) -> None:
    """Materialise a later month into an empty lake whose earlier months came before, one by one."""
    home, _ = first_run
    config = load_config(home)
    config = type(config)(home=tmp_path, feeds=config.feeds, universes=config.universes)
    definitions = build_definitions(config)
    with dg.DagsterInstance.ephemeral() as instance:
        for job, keys in (("ingest_cn_1d", None), ("cn", [["cn", "bars"]])):
            done = definitions.resolve_job_def(job).execute_in_process(
                instance=instance,
                asset_selection=None if keys is None else [dg.AssetKey(key) for key in keys],
                tags={f"{RANGE}start": "2024-01-01", f"{RANGE}end": "2025-06-01"},
            )
            assert done.success
        for month in ("2024-01-01", "2024-02-01", "2024-03-01"):
            done = definitions.resolve_job_def("cn").execute_in_process(
                instance=instance, asset_selection=[dg.AssetKey(["cn", "features"])], partition_key=month
            )
            assert done.success
    span = {"start": date(2024, 3, 1), "end": date(2024, 4, 1)}
    alone, whole = (
        Lake(place / "lake").table("cn", "features").scan(**span).collect().sort("instrument_id", "ts_close")
        for place in (tmp_path, home)
    )
    assert alone.height > 100
    assert alone.select(sorted(alone.columns)).equals(whole.select(sorted(whole.columns)))


@pytest.mark.parametrize(
    ("number", "after"),
    # test_interrupted_runs kills one too
    [pytest.param(signal.SIGKILL, 4.0, marks=pytest.mark.slow), (signal.SIGINT, 7.0)],
)
def test_an_interrupted_run_goes_on(
    first_run: tuple[Path, str], tmp_path: Path, number: signal.Signals, after: float
) -> None:
    (tmp_path / "nofx.toml").write_text((first_run[0] / "nofx.toml").read_text())
    run = [sys.executable, "-m", "nofx_pipelines.cli", "run", "--home", str(tmp_path)]
    process = subprocess.Popen(
        run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(after)
    subprocess.run(["kill", f"-{int(number)}", "--", f"-{process.pid}"], check=False)
    process.wait(timeout=60)
    output = command(tmp_path)("run").stdout
    assert "verdict: " in output
    lake = Lake(tmp_path / "lake")
    for scope, name in lake.tables():
        assert lake.table(scope, name).verify().whole, f"{scope}/{name}"
    bars, again = (
        Lake(place / "lake").table("cn", "bars").scan().drop("knowledge_time").collect()
        for place in (tmp_path, first_run[0])
    )
    keys = ["instrument_id", "ts_open"]
    assert bars.sort(keys).equals(again.sort(keys))


def test_the_mart_and_the_tables_agree(first_run: tuple[Path, str]) -> None:
    import duckdb

    home, _ = first_run
    with duckdb.connect(str(home / "mart.duckdb"), read_only=True) as mart:
        gates = mart.sql("select gate, passed, reason from gates order by gate").fetchall()
        bars = mart.sql("select sum(bars) from coverage").fetchall()
    lake = Lake(home / "lake")
    stored = lake.table("cn", "gates").scan().sort("gate").select("gate", "passed", "reason").collect()
    assert gates == stored.rows()
    assert bars[0][0] == lake.table("cn", "bars").scan().select(pl.len()).collect().item()


def test_every_table_says_which_run_wrote_it_from_what(first_run: tuple[Path, str]) -> None:
    lake = Lake(first_run[0] / "lake")
    for name in ("bars", "features", "labels", "training_set", "hpo_trials", "leaderboard"):
        newest = lake.table("cn", name).history().to_dicts()[0]
        assert newest["run_id"], name
        assert newest["code_version"], name
        assert json.loads(newest["lineage"]), name
        assert isinstance(newest["committed_at"], datetime)
