"""The point-in-time join against a loop over everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.online.point_in_time import get_historical_features, point_in_time
from tests.chain import Chain

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
UTC_US = pl.Datetime("us", "UTC")


def at(hours: int) -> datetime:
    return BEGIN + timedelta(hours=hours)


bars = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(0, 20), st.integers(0, 30)),
    max_size=25,
    unique_by=lambda b: b[:2],
)
asked = st.lists(st.tuples(st.sampled_from("ABCD"), st.integers(-3, 30), st.integers(-3, 60)), max_size=12)


@settings(deadline=None, max_examples=300)
@given(bars, asked, st.booleans(), st.booleans(), st.one_of(st.none(), st.integers(0, 12)))
def test_against_a_loop(
    rows: list[tuple[str, int, int]],
    wanted: list[tuple[str, int, int]],
    by_knowledge: bool,
    across: bool,
    hours: int | None,
) -> None:
    """Bars known in any order, ties, entities that are not there, rows asked twice."""
    frame = pl.DataFrame(
        {
            "instrument_id": [r[0] for r in rows],
            "ts_close": [at(r[1]) for r in rows],
            "knowledge_time": [at(r[1] + r[2]) for r in rows],
            "version": ["v"] * len(rows),
            "x": [float(k) for k in range(len(rows))],
        },
        schema_overrides={
            "ts_close": UTC_US,
            "knowledge_time": UTC_US,
            "instrument_id": pl.String,
            "version": pl.String,
            "x": pl.Float64,
        },
    )
    entities = pl.DataFrame(
        {
            "instrument_id": [w[0] for w in wanted],
            "event_time": [at(w[1]) for w in wanted],
            "known_by": [at(w[2]) for w in wanted],
        },
        schema_overrides={"event_time": UTC_US, "known_by": UTC_US, "instrument_id": pl.String},
    )
    got = point_in_time(
        entities,
        frame.select("instrument_id", "ts_close", "version", "x"),
        frame.select("instrument_id", "ts_close", "knowledge_time"),
        knowledge_time="known_by" if by_knowledge else None,
        max_age=None if hours is None else timedelta(hours=hours),
        across=across,
    )
    assert got.height == entities.height
    for (who, event, known_by), row in zip(wanted, got.iter_rows(named=True), strict=True):
        until = at(known_by) if by_knowledge else at(event)
        best = None
        for k, (name, ts, _) in enumerate(rows):
            if name != who or at(ts) > at(event):
                continue
            made_of = [
                r
                for r in rows
                if r[1] <= ts and (r[0] == who or (across and any(r[1] == q[1] for q in rows if q[0] == who)))
            ]
            if all(at(r[1] + r[2]) <= until for r in made_of) and (best is None or ts > rows[best][1]):
                best = k
        if best is not None and hours is not None and event - rows[best][1] > hours:
            best = None
        assert row["x"] == (None if best is None else float(best))
        assert row["ts_close"] == (None if best is None else at(rows[best][1]))
        assert row["age_seconds"] == (None if best is None else 3600.0 * (event - rows[best][1]))


def test_of_a_universe(finished_chain: Chain) -> None:
    chain = finished_chain
    table = chain.table("features").scan().collect().sort("instrument_id", "ts_close")
    who = table["instrument_id"][0]
    own = table.filter(pl.col("instrument_id") == who)
    closes = own["ts_close"].to_list()
    entities = pl.DataFrame(
        {
            "instrument_id": [who, who, "nobody"],
            "event_time": [closes[30] + timedelta(days=400), closes[0] - timedelta(days=1), closes[9]],
        }
    ).with_columns(pl.col("event_time").cast(UTC_US))
    got = get_historical_features(chain.lake, chain.universe, entities, ["rsi_14", "rank_return_5"])
    known = own.filter(pl.col("ts_close") <= entities["event_time"][0])
    assert got["rsi_14"].to_list()[1:] == [None, None]
    assert got["ts_close"][0] <= known["ts_close"][-1]
    row = own.filter(pl.col("ts_close") == got["ts_close"][0])
    assert got["rsi_14"][0] == row["rsi_14"][0]
    assert got["version"][0] == row["version"][0]
    with pytest.raises(FeatureError, match="no column 'rsl'"):
        get_historical_features(chain.lake, chain.universe, entities, ["rsl"])
    with pytest.raises(FeatureError, match="entity frame has no column 'event_time'"):
        get_historical_features(chain.lake, chain.universe, entities.drop("event_time"), ["rsi_14"])
