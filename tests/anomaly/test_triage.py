"""What people decided stays."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.anomaly.triage import kept, rewrite, set_triage
from nofx_pipelines.errors import DataError
from nofx_pipelines.lake.schemas import ANOMALIES
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)


def _events(*ids: str) -> pl.DataFrame:
    row = {
        "instrument_id": "CN.SSE.600000",
        **dict.fromkeys(("ts_start", "ts_end", "ts_peak"), NOON),
        "session_date": NOON.date(),
        "channel": "price",
        "type": "statistical",
        "severity": "low",
        "score": 3.3,
        "confidence": 0.9,
        "rule": None,
        "explanation": [],
        "related": [],
        "cluster_id": None,
        "triage": "open",
        "note": None,
    }
    rows = [{"anomaly_id": name, **row} for name in ids]
    return pl.DataFrame(rows, schema=ANOMALIES.columns, orient="row")


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    made = Lake(tmp_path).table("cn", "anomalies")
    made.overwrite(_events("aa11", "aa22", "bb33"), code_version="c1", inputs="i1", lineage={"cn/bars": 4})
    return made


def test_a_decision_is_written_and_the_table_stays_fresh(table: LakeTable) -> None:
    set_triage(table, "aa1", "confirmed", "vendor says so")
    told = table.scan().sort("anomaly_id").collect()
    assert told["triage"].to_list() == ["confirmed", "open", "open"]
    assert told["note"].to_list() == ["vendor says so", None, None]
    stamp = table.stamp()
    assert stamp is not None
    assert (stamp.code_version, stamp.inputs) == ("c1", "i1")
    assert table.history()["lineage"].to_list()[0] == table.history()["lineage"].to_list()[1]


@pytest.mark.parametrize(
    ("name", "state", "words"),
    [
        ("aa", "confirmed", "2 anomalies begin with 'aa'"),
        ("zz", "confirmed", "0 anomalies begin with 'zz'"),
        ("", "confirmed", "0 anomalies begin with ''"),
        ("bb", "maybe", "no triage state 'maybe'"),
    ],
)
def test_what_is_unclear_is_refused(table: LakeTable, name: str, state: str, words: str) -> None:
    version = table.version()
    with pytest.raises(DataError, match=words):
        set_triage(table, name, state, None)
    assert table.version() == version


def test_triage_notes_and_clusters_survive_another_computation() -> None:
    before = _events("aa11", "aa22").with_columns(
        triage=pl.Series(["dismissed", "open"]), note=pl.Series([None, "look"]), cluster_id=pl.lit("c")
    )
    after = kept(_events("aa11", "aa22", "cc44"), before).sort("anomaly_id")
    assert after["triage"].to_list() == ["dismissed", "open", "open"]
    assert after["note"].to_list() == [None, "look", None]
    assert after["cluster_id"].to_list() == ["c", "c", None]


def test_what_a_person_wrote_on_is_never_lost() -> None:
    before = _events("aa11", "aa22", "aa33").with_columns(
        triage=pl.Series(["confirmed", "open", "open"]), note=pl.Series([None, "hm", None])
    )
    assert sorted(kept(_events("cc44"), before)["anomaly_id"]) == ["aa11", "aa22", "cc44"]


def test_rewriting_changes_nothing_but_the_rows(table: LakeTable) -> None:
    rewrite(table, _events("dd55"))
    assert table.scan().collect()["anomaly_id"].to_list() == ["dd55"]
    stamp = table.stamp()
    assert stamp is not None
    assert stamp.inputs == "i1"
