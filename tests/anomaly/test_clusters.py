"""Clusters of anomalies that look alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from nofx_pipelines.anomaly.clusters import SMALLEST, find_clusters, stable_ids
from nofx_pipelines.anomaly.conditioning import NAMES
from nofx_pipelines.lake.schemas import ANOMALIES, ANOMALY_CLUSTERS, UTC_US

VECTOR = (*NAMES, "stale", "gap")
"""Features, then rules."""


def _three_kinds(seed: int, each: int = 12) -> tuple[pl.DataFrame, pl.DataFrame, np.ndarray]:
    """Events of three kinds (volume, return down, stale), loud and quiet ones, and their kinds."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(3), each)
    vectors = 0.05 * rng.normal(size=(len(kinds), len(VECTOR)))
    for place, sign, kind in ((VECTOR.index("volume"), 1, 0), (0, -1, 1), (VECTOR.index("stale"), 1, 2)):
        vectors[kinds == kind, place] += sign
    vectors *= rng.uniform(3, 9, size=(len(kinds), 1))
    ids = [f"{seed}-{k:03d}" for k in range(len(kinds))]
    when = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=k) for k in range(len(kinds))]
    events = pl.DataFrame({"anomaly_id": ids}).with_columns(
        *(pl.Series(name, when, dtype=UTC_US) for name in ("ts_start", "ts_end")),
        pl.lit(None, dtype=pl.String).alias("cluster_id"),
    )
    assert set(events.columns) <= set(ANOMALIES.columns)
    return events, pl.DataFrame({"anomaly_id": ids, "vector": vectors.tolist()}), kinds


def test_kinds_come_apart_whatever_their_loudness() -> None:
    events, vectors, kinds = _three_kinds(1)
    clusters, assigned = find_clusters(events, vectors, VECTOR)
    assert dict(clusters.schema) == dict(pl.Schema(ANOMALY_CLUSTERS.columns))
    assert sorted(clusters["name"]) == ["return down", "stale", "volume up"]
    found = {
        kind: {assigned.get(events["anomaly_id"][int(k)]) for k in np.flatnonzero(kinds == kind)}
        for kind in range(3)
    }
    assert all(len(ids - {None}) == 1 for ids in found.values())
    assert int(clusters["n"].sum()) == len(assigned)


def test_exemplars_are_members() -> None:
    events, vectors, _ = _three_kinds(2)
    clusters, assigned = find_clusters(events, vectors, VECTOR)
    for row in clusters.iter_rows(named=True):
        assert assigned[row["exemplar"]] == row["cluster_id"]


def test_ids_stay_when_anomalies_come_and_go() -> None:
    events, vectors, _ = _three_kinds(3)
    clusters, assigned = find_clusters(events, vectors, VECTOR)
    known = events.with_columns(
        pl.Series("cluster_id", [assigned.get(name) for name in events["anomaly_id"]], dtype=pl.String)
    )
    more, more_vectors, _ = _three_kinds(4)
    again, _ = find_clusters(pl.concat([known[3:], more]), pl.concat([vectors[3:], more_vectors]), VECTOR)
    named = dict(clusters.select("name", "cluster_id").rows())
    assert dict(again.select("name", "cluster_id").rows()) == named


def test_an_id_is_given_once() -> None:
    assert stable_ids([["a"], ["a", "a"]], ["x", "y"]) == [stable_ids([[]], ["x"])[0], "a"]


def test_a_few_anomalies_make_no_cluster() -> None:
    events, vectors, _ = _three_kinds(5)
    few = 2 * SMALLEST - 1
    clusters, assigned = find_clusters(events[:few], vectors[:few], VECTOR)
    assert clusters.is_empty()
    assert not assigned
    assert find_clusters(events.clear(), vectors.clear(), VECTOR)[0].is_empty()


def test_one_of_a_kind_belongs_to_none() -> None:
    events, vectors, _ = _three_kinds(6)
    odd = [[0.0] * len(VECTOR)]
    odd[0][VECTOR.index("trade_size")] = -5.0
    alone = events[:1].with_columns(anomaly_id=pl.lit("alone"))
    _, assigned = find_clusters(
        pl.concat([events, alone]),
        pl.concat([vectors, pl.DataFrame({"anomaly_id": ["alone"], "vector": odd})]),
        VECTOR,
    )
    assert "alone" not in assigned
