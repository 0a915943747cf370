"""Alerts merged into anomalies."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from nofx_pipelines.anomaly.detectors.registry import load_detectors
from nofx_pipelines.anomaly.events import find_events, severity
from nofx_pipelines.lake.schemas import ANOMALIES, ANOMALY_EVIDENCE, UTC_US

DETECTORS = load_detectors(["robust_z", "ewma", "isolation_forest", "rules"])
START = datetime(2024, 1, 1, 7, tzinfo=UTC)


def _close(k: int) -> datetime:
    return START + timedelta(days=k)


def _ensemble(loud: dict[tuple[str, int], float], sessions: int = 40, instruments: int = 10) -> pl.DataFrame:
    cells = [(f"I{n}", k) for k in range(sessions) for n in range(instruments)]
    return pl.DataFrame(
        {
            "instrument_id": [name for name, _ in cells],
            "ts_close": pl.Series([_close(k) for _, k in cells], dtype=UTC_US),
            "session_date": [_close(k).date() for _, k in cells],
            "neg_log10_p": [loud.get(cell, 0.3) for cell in cells],
        }
    )


def _evidence(rows: dict[tuple[str, int], dict[str, Any]]) -> pl.DataFrame:
    line = {
        "feature": "return",
        "value": 0.2,
        "expected_low": -0.1,
        "expected_high": 0.1,
        "contribution": 4.0,
    }
    made = [
        {
            "instrument_id": name,
            "ts_close": _close(k),
            "session_date": _close(k).date(),
            "score": 4.0,
            "channel": "price",
            "detector": "robust_z",
            "rule": None,
            "explanation": [line],
            "vector": [0.0] * 15,
            **more,
        }
        for (name, k), more in rows.items()
    ]
    return pl.DataFrame(made, schema=ANOMALY_EVIDENCE.columns, orient="row")


def _events(rows: dict[tuple[str, int], dict[str, Any]], budget: float = 0.05) -> pl.DataFrame:
    loud = {cell: more.get("score", 4.0) for cell, more in rows.items()}
    return find_events(_ensemble(loud), _evidence(rows), "1d", budget, DETECTORS)


def test_neighbouring_alerts_are_one_anomaly_with_its_peak() -> None:
    events = _events(
        {("I1", 20): {}, ("I1", 21): {"score": 6.5}, ("I1", 23): {}, ("I1", 30): {}, ("I2", 21): {}}
    )
    assert events.schema == pl.Schema(ANOMALIES.columns)
    assert events.height == 3
    first = events.filter(pl.col("instrument_id") == "I1").row(0, named=True)
    assert (first["ts_start"], first["ts_peak"], first["ts_end"]) == (_close(20), _close(21), _close(23))
    assert (first["severity"], first["type"], first["session_date"]) == (
        "critical",
        "collective",
        date(2024, 1, 21),
    )


def test_an_anomaly_keeps_its_id_while_it_grows() -> None:
    short = _events({("I1", 20): {}})
    grown = _events({("I1", 20): {}, ("I1", 21): {"score": 8.0, "channel": "volume"}})
    assert short["anomaly_id"].to_list() == grown["anomaly_id"].to_list()


def test_ids_differ_by_instrument_channel_and_start() -> None:
    events = _events({("I1", 20): {}, ("I2", 20): {}, ("I1", 30): {}})
    other = _events({("I1", 20): {"channel": "volume"}})
    assert len({*events["anomaly_id"], *other["anomaly_id"]}) == 4


def test_quiet_bars_are_no_anomaly() -> None:
    assert _events({("I1", 20): {"score": 2.9}}).is_empty()


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, "statistical"),
        ({"rule": "gap", "channel": "data", "detector": "rules"}, "temporal"),
        ({"channel": "cross_section"}, "spatial"),
        ({"detector": "ewma"}, "collective"),
        ({"rule": "stale", "channel": "data", "detector": "rules"}, "collective"),
        ({"detector": "isolation_forest"}, "contextual"),
        ({"detector": "one that was scored with before"}, "statistical"),
    ],
)
def test_types(more: dict[str, Any], kind: str) -> None:
    assert _events({("I1", 20): more})["type"].to_list() == [kind]


def test_a_gap_of_many_bars_is_one_in_time() -> None:
    gap = {"rule": "gap", "channel": "data", "detector": "rules"}
    assert _events({("I1", k): gap for k in range(20, 25)})["type"].to_list() == ["temporal"]


def test_what_goes_on_at_the_same_time_is_related() -> None:
    events = _events({("I1", 20): {"score": 5.0}, ("I2", 20): {}, ("I3", 20): {"score": 7.0}, ("I4", 33): {}})
    ids = dict(events.select("instrument_id", "anomaly_id").rows())
    related = dict(events.select("instrument_id", "related").rows())
    assert related["I1"] == [ids["I3"], ids["I2"]]  # loudest first
    assert related["I4"] == []


def test_confidence_is_one_less_p_adjusted_over_the_session() -> None:
    events = _events({("I1", 20): {"score": 4.0}, ("I2", 20): {"score": 3.5}})
    told = dict(events.select("instrument_id", "confidence").rows())
    # Benjamini and Hochberg over ten bars: p1 * 10 / 1, p2 * 10 / 2, the smaller of the two for the first
    assert told["I2"] == pytest.approx(1 - 10**-3.5 * 10 / 2)
    assert told["I1"] == pytest.approx(1 - 10**-4.0 * 10 / 1)


def test_severity_by_score() -> None:
    assert [severity(s) for s in (3.0, 4.0, 5.0, 6.0, 15.0)] == [
        "low",
        "medium",
        "high",
        "critical",
        "critical",
    ]


def test_no_evidence_no_anomalies() -> None:
    assert find_events(_ensemble({}), _evidence({}), "1d", 0.05, DETECTORS).is_empty()
    assert find_events(_ensemble({}).clear(), _evidence({}), "1m", 0.05, DETECTORS).is_empty()
