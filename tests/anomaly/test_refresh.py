"""The anomaly tables of a universe: incremental, resumable, with people's decisions kept."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nofx_pipelines.anomaly.refresh import (
    cluster_inputs,
    known_clusters,
    known_events,
    refresh_clusters,
    refresh_scores,
    score_inputs,
)
from nofx_pipelines.anomaly.triage import set_triage
from nofx_pipelines.errors import TableNotFound
from nofx_pipelines.lake.store import Lake
from tests.chain import Chain

STAMP = {"run_id": "r", "code_version": "c"}


def _span(chain: Chain) -> dict[str, date]:
    assert chain.feed.end is not None
    return {"start": chain.feed.start, "end": chain.feed.end}


def test_without_bars_there_is_nothing_to_score(chain: Chain) -> None:
    with pytest.raises(TableNotFound, match="cn/bars was never written"):
        refresh_scores(Lake(chain.home / "empty"), chain.universe, **_span(chain), **STAMP)


def test_sessions_in_any_order_and_number_give_the_same_bytes(chain: Chain) -> None:
    lake = Lake(chain.home / "lake")
    before = lake.table("cn", "anomaly_scores").stamps()
    assert any(stamp.rows for stamp in before.values())
    span, code = _span(chain), {"run_id": "r", "code_version": "another"}
    middle = span["start"] + timedelta(days=300)
    refresh_scores(lake, chain.universe, start=middle, end=span["end"], **code)
    refresh_scores(lake, chain.universe, start=span["start"], end=middle, **code)
    after = lake.table("cn", "anomaly_scores").stamps()
    rows = [
        lake.table("cn", "anomaly_scores").scan().drop("detector_version").sort(pl.all()).collect()
        for _ in (1,)
    ]
    assert {d: s.rows for d, s in after.items()} == {d: s.rows for d, s in before.items()}
    again = chain.lake.table("cn", "anomaly_scores").scan().drop("detector_version").sort(pl.all()).collect()
    assert_frame_equal(rows[0], again, check_exact=True)


def test_only_what_depends_on_a_changed_session_is_stale(chain: Chain) -> None:
    lake, span = chain.lake, _span(chain)
    before = score_inputs(lake, chain.universe, **span)
    bars = chain.table("bars")
    day = sorted(bars.stamps())[-30]
    changed = bars.scan(start=day, end=day + timedelta(days=1)).collect().with_columns(pl.col("volume") * 2)
    bars.replace(day, day + timedelta(days=1), changed, **STAMP)
    after = score_inputs(lake, chain.universe, **span)
    moved = [d for d in before if before[d] != after[d]]
    assert moved[0] == day
    assert moved == [d for d in before if d >= day]


def test_references_are_logged_with_their_parameters(chain: Chain) -> None:
    client = chain.tracker.client
    experiment = client.get_experiment_by_name("cn")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`nofx.stage` = 'anomaly_scores'")
    assert runs[0].data.tags["nofx.dagster_run_id"] == "run"
    path = client.download_artifacts(runs[0].info.run_id, "detectors.json")
    periods = json.loads(Path(path).read_text())
    one = next(iter(periods.values()))
    assert {"explained", "tails", "rules", "forest"} == set(one)
    assert one["tails"]["ensemble"]["threshold"] > 0


def test_planted_anomalies_are_counted_per_kind(chain: Chain) -> None:
    found = known_events(chain.lake, chain.universe)
    assert found.recovered is not None
    assert found.recovered["kind"].to_list()[-1] == "all"
    assert sum(found.by_severity.values()) == found.rows


def test_decisions_survive_and_make_nothing_stale(chain: Chain) -> None:
    events = chain.table("anomalies").scan().sort("anomaly_id").collect()
    name = events["anomaly_id"][0]
    set_triage(chain.table("anomalies"), name, "confirmed", "seen")
    assert chain.stale() == []
    chain._anomalies(chain._stamp("anomalies"))
    told = chain.table("anomalies").scan().filter(pl.col("anomaly_id") == name).collect()
    assert told.select("triage", "note").row(0) == ("confirmed", "seen")


def test_clusters_killed_half_way_are_made_again(chain: Chain) -> None:
    stamp = chain.table("anomaly_clusters").stamp()
    assert stamp is not None
    assert stamp.inputs == cluster_inputs(chain.lake, chain.universe)
    events = chain.table("anomalies").scan().collect()
    from nofx_pipelines.anomaly.triage import rewrite

    rewrite(chain.table("anomalies"), events.with_columns(cluster_id=pl.lit(None, dtype=pl.String)))
    before = known_clusters(chain.lake, chain.universe)
    assert before.members == 0
    refresh_clusters(chain.lake, chain.universe, **chain._stamp("anomaly_clusters"))
    assert chain.stale() == []


def test_a_smaller_budget_never_finds_more(chain: Chain) -> None:
    import dataclasses

    tight = chain.set(anomaly=dataclasses.replace(chain.universe.anomaly, budget=0.0001))
    before = chain.table("anomalies").scan().collect().height
    tight._anomalies(tight._stamp("anomalies"))
    assert chain.table("anomalies").scan().collect().height <= before


def test_a_session_that_was_left_out_has_no_scores_and_stops_no_other(chain: Chain) -> None:
    day = sorted(chain.table("bars").stamps())[-20]
    excluded = chain.table("excluded_sessions")
    row = {"table": "bars", "session_date": day, "rule": "r", "reason": "why", "decided_at": chain.now}
    columns = excluded.schema.columns
    excluded.replace(day, day + timedelta(days=1), pl.DataFrame([row], schema=columns), **STAMP)
    result = refresh_scores(chain.lake, chain.universe, **_span(chain), **chain._stamp("anomaly_scores"))
    assert day in result.written
    scored = chain.table("anomaly_scores").scan().select(pl.col("session_date").unique()).collect()
    assert day not in scored["session_date"].to_list()
    assert max(chain.table("bars").stamps()) in scored["session_date"].to_list()
