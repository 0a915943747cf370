"""The anomaly tables of a universe: incremental, resumable, with people's decisions kept."""

from __future__ import annotations

import dataclasses
import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nofx_pipelines.anomaly.refresh import (
    cluster_inputs,
    known_clusters,
    known_events,
    refresh_clusters,
    refresh_events,
    refresh_scores,
    score_inputs,
)
from nofx_pipelines.anomaly.triage import set_triage
from nofx_pipelines.config import AnomalyConfig, FeedConfig, SourceConfig, UniverseConfig
from nofx_pipelines.errors import PluginError, TableNotFound
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.bars import refresh_bars
from nofx_pipelines.market.ingest import ingest
from nofx_pipelines.registry.tracking import Tracker
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
    assert set(one) == {"explained", "expected", "detectors", "ensemble"}
    assert tuple(one["detectors"]) == tuple(sorted(chain.universe.anomaly.detectors))
    assert one["detectors"]["robust_z"]["tails"]["return"] == one["expected"]["return"]
    assert one["detectors"]["isolation_forest"]["parameters"]["trees"] == 100
    assert one["detectors"]["rules"]["parameters"]["odds"]["units"] > 2
    assert one["ensemble"]["threshold"] > 0


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
    chain.compute("anomalies", force=True)
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
    refresh_clusters(chain.lake, chain.universe, **chain.stamp("anomaly_clusters"))
    assert chain.stale() == []


def test_a_smaller_budget_never_finds_more(chain: Chain) -> None:
    tight = chain.set(anomaly=dataclasses.replace(chain.universe.anomaly, budget=0.0001))
    before = chain.table("anomalies").scan().collect().height
    tight.compute("anomalies", force=True)
    assert chain.table("anomalies").scan().collect().height <= before


def test_a_session_that_was_left_out_has_no_scores_and_stops_no_other(chain: Chain) -> None:
    day = sorted(chain.table("bars").stamps())[-20]
    excluded = chain.table("excluded_sessions")
    row = {"table": "bars", "session_date": day, "rule": "r", "reason": "why", "decided_at": chain.now}
    columns = excluded.schema.columns
    excluded.replace(day, day + timedelta(days=1), pl.DataFrame([row], schema=columns), **STAMP)
    result = refresh_scores(chain.lake, chain.universe, **_span(chain), **chain.stamp("anomaly_scores"))
    assert day in result.written
    scored = chain.table("anomaly_scores").scan().select(pl.col("session_date").unique()).collect()
    assert day not in scored["session_date"].to_list()
    assert max(chain.table("bars").stamps()) in scored["session_date"].to_list()


DISTANCE = """
import numpy as np
from nofx_pipelines.anomaly.detectors.protocol import Statistic

class Distance:
    statistics = (Statistic("distance", type="contextual"),)

    def fit(self, bars, reference, seed):
        return self

    def score(self, bars, span):
        z = np.nan_to_num(bars.z[:, span])
        return np.where(bars.traded[span], np.sqrt((z * z).sum(axis=0)), np.nan)

    def parameters(self):
        return {"norm": 2}

DETECTOR = Distance()
"""
SPAN = {"start": date(2023, 1, 1), "end": date(2024, 9, 1)}
LATE = date(2024, 3, 1)


@pytest.fixture(scope="module")
def with_bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake of a home with twenty months of bars and nothing else; copy it."""
    lake = Lake(tmp_path_factory.mktemp("bars") / "lake")
    source = SourceConfig(kind="simulated", instruments=6)
    feed = FeedConfig(market="cn", freq="1d", sources=(source,), **SPAN)
    universe = UniverseConfig(name="cn", market="cn", freq="1d")
    now = datetime(2025, 1, 1, tzinfo=UTC)
    ingest(lake, feed, **SPAN, now=now, **STAMP)
    refresh_bars(lake, universe, feed, **SPAN, now=now, **STAMP)
    return lake.root


def _own(lake: Path, home: Path, detectors: tuple[str, ...]) -> tuple[Lake, UniverseConfig]:
    """A copy of the lake, and a universe with ``detectors`` whose plug-ins lie in ``home``."""
    shutil.copytree(lake, home / "lake")
    (home / "plugins").mkdir()
    (home / "plugins" / "mine.py").write_text(DISTANCE)
    anomaly = AnomalyConfig(detectors=detectors)
    universe = UniverseConfig(name="cn", market="cn", freq="1d", anomaly=anomaly, plugins=home / "plugins")
    return Lake(home / "lake"), universe


def test_a_detector_of_one_file_is_used_as_ours_are(
    with_bars: Path, tmp_path: Path, tracker: Tracker
) -> None:
    lake, universe = _own(with_bars, tmp_path, ("rules", "mine:DETECTOR"))
    refresh_scores(lake, universe, tracker, **SPAN, run_id="of one file", code_version="c")
    scores = lake.table("cn", "anomaly_scores").scan().collect()
    assert {*scores["detector"]} == {"ensemble", "rules", "mine:DETECTOR"}
    assert scores.filter(pl.col("detector") == "mine:DETECTOR").height > 20
    evidence = lake.table("cn", "anomaly_evidence").scan().collect()
    assert "mine:DETECTOR" in evidence["detector"].to_list()

    client = tracker.client
    experiment = client.get_experiment_by_name("cn")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.`nofx.dagster_run_id` = 'of one file'")
    periods = json.loads(Path(client.download_artifacts(run.info.run_id, "detectors.json")).read_text())
    own = next(iter(periods.values()))["detectors"]["mine:DETECTOR"]
    assert own["parameters"] == {"norm": 2}
    assert own["tails"]["distance"]["threshold"] > 0

    refresh_events(lake, universe, inputs="i", **STAMP)
    refresh_clusters(lake, universe, **STAMP)
    events = lake.table("cn", "anomalies").scan().collect()
    peaks = events.join(
        evidence, left_on=["instrument_id", "ts_peak"], right_on=["instrument_id", "ts_close"], how="inner"
    ).filter(pl.col("detector") == "mine:DETECTOR")
    short = (pl.col("ts_start") == pl.col("ts_end")) & (pl.col("channel") != "cross_section")
    assert peaks.filter(short)["type"].unique().to_list() == ["contextual"]
    assert peaks.select(pl.col("explanation").list.len().min()).item() == 3
    assert lake.table("cn", "anomaly_clusters").exists()


def test_a_detector_that_raises_is_named_and_leaves_what_was_written(with_bars: Path, tmp_path: Path) -> None:
    lake, universe = _own(with_bars, tmp_path, ("rules", "mine:DETECTOR"))
    early = {"start": SPAN["start"], "end": LATE}
    refresh_scores(lake, universe, **early, **STAMP)
    before = lake.table("cn", "anomaly_scores").scan().collect()
    (tmp_path / "plugins" / "mine.py").write_text(DISTANCE.replace("return np.where", "raise OSError"))
    with pytest.raises(PluginError, match=r"plug-in 'mine:DETECTOR' .*raised OSError when scoring"):
        refresh_scores(lake, universe, **SPAN, **STAMP)
    assert_frame_equal(lake.table("cn", "anomaly_scores").scan().collect(), before)


def test_evidence_of_other_detectors_is_compared_with_none(with_bars: Path, tmp_path: Path) -> None:
    lake, universe = _own(with_bars, tmp_path, ("robust_z",))
    refresh_scores(lake, universe, start=SPAN["start"], end=LATE, **STAMP)
    more = dataclasses.replace(universe, anomaly=AnomalyConfig())
    refresh_scores(lake, more, start=LATE, end=SPAN["end"], **STAMP)
    refresh_events(lake, more, inputs="i", **STAMP)
    refresh_clusters(lake, more, **STAMP)
    evidence = lake.table("cn", "anomaly_evidence").scan().collect()
    assert evidence["vector"].list.len().n_unique() == 2
    assert lake.table("cn", "anomaly_clusters").exists()
