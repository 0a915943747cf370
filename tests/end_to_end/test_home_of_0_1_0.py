"""A home that version 0.1.0 left opens: tables, models and signals as they were, and `nofx run` goes on.

``tests/data/home_0_1_0.tar.xz`` is ``/srv/nofx`` as 0.1.0's `nofx run` wrote it over five simulated
instruments and thirteen months, without Dagster's records, the mart, the report and the logs.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.config_file import load_config
from nofx_pipelines.errors import CodeChanged
from nofx_pipelines.graph import STAGES
from nofx_pipelines.lake.query import query
from nofx_pipelines.lake.schemas import TABLES
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.promotion.reproduce import reproduce
from nofx_pipelines.promotion.signals import refresh_signals
from nofx_pipelines.registry.tracking import Tracker
from tests.end_to_end.conftest import command

ARCHIVE = Path(__file__).resolve().parents[1] / "data" / "home_0_1_0.tar.xz"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home under another path than it was made under."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "nofx"


def test_every_table_is_read_under_today_s_names(home: Path) -> None:
    lake = Lake(home / "lake")
    tables = lake.tables()
    assert len(tables) > 25
    for scope, name in tables:
        table = lake.table(scope, name)
        frame = table.scan().collect()
        assert frame.columns[: len(table.schema.columns)] == list(table.schema.columns), name
        assert table.verify().whole
    published = query(lake, "select instrument_id, published_at from online_features")
    assert published["published_at"].null_count() == 0
    assert published.height == 5
    assert query(lake, "select distinct study from hpo_trials").height == 1


def test_its_models_load_and_signal_and_reproduce_says_which_version_made_them(home: Path) -> None:
    tracker, config = Tracker(home), load_config(home)
    lake, universe = Lake(home / "lake"), config.universes["cn"]
    assert tracker.models().height == 3
    champion = tracker.load("nofx-signal-cn@champion")
    before = lake.table("cn", "signals").scan().collect().sort("ts_close", "instrument_id")
    refresh_signals(lake, universe, champion, run_id="run", code_version="another", force=True)
    after = lake.table("cn", "signals").scan().collect().sort("ts_close", "instrument_id")
    assert after.equals(before)  # the old layout's ONNX gives the same scores, bit for bit
    for model in ("nofx-signal-cn@champion", "nofx-agents-cn/1"):
        with pytest.raises(CodeChanged, match=r"of nofx-pipelines 0\.1\.0 or before"):
            reproduce(tracker, lake, model)


def test_doctor_says_what_will_be_computed_again_and_a_run_does_it(home: Path) -> None:
    nofx = command(home)
    doctor = nofx("doctor").stdout
    (line,) = (line for line in doctor.splitlines() if line.startswith("stages cn  "))
    assert "the next run computes" in line
    assert all(name in line for name in STAGES)
    before = {name: Lake(home / "lake").table("cn", name).scan().collect() for name in ("features", "labels")}
    nofx("run")
    assert f"\n0 of {1 + len(STAGES)} stages are not fresh" in nofx("status").stdout
    lake = Lake(home / "lake")
    for name, frame in before.items():
        key = list(TABLES[name].key)
        assert lake.table("cn", name).scan().collect().sort(key).equals(frame.sort(key)), name
    table = lake.table("cn", "online_features")
    (file,) = table.checked_files()[0]
    assert pl.read_parquet_schema(table.folder / file.name).keys() == TABLES["online_features"].columns.keys()
    trials = lake.table("cn", "hpo_trials").scan().collect()
    assert trials["family"].to_list() == ["gbdt"] * trials.height
    assert set(Tracker(home).models()["version"]) == {"1", "2", "3", "4"}
