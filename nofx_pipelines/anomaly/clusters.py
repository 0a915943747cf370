"""Anomalies that look alike: HDBSCAN over the directions of their evidence, with ids that stay.

Two anomalies are alike when the same features and rules speak, whatever the loudness, so vectors are scaled
to length one. A cluster keeps the id under which most of its members were known; a new one is named after
its exemplar.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.anomaly.conditioning import NAMES
from nofx_pipelines.anomaly.panel import Floats, Ints
from nofx_pipelines.lake.schemas import ANOMALY_CLUSTERS

SMALLEST = 4
"""Members of the smallest cluster."""
_NAMED = 0.35
"""Share of a centre's length from which a feature is part of the cluster's name."""


def find_clusters(
    events: pl.DataFrame, vectors: pl.DataFrame, names: Sequence[str]
) -> tuple[pl.DataFrame, Mapping[str, str]]:
    """The clusters (ANOMALY_CLUSTERS) of anomalies and each member's cluster by anomaly_id.

    Parameters
    ----------
    events
        ANOMALIES; ``cluster_id`` says what they were known under before. Those that are like no others belong
        to no cluster.
    vectors
        anomaly_id and vector.
    names
        What a vector holds, features first; see `vector_names`.
    """
    rows = events.join(vectors, on="anomaly_id", how="inner").sort("ts_start", "anomaly_id")
    labels = _labels(directions(rows["vector"].to_list()))
    members = [np.flatnonzero(labels == label) for label in range(int(labels.max(initial=-1)) + 1)]
    clusters = [_cluster(rows, part, names) for part in members]
    ids = stable_ids(
        [[rows["cluster_id"][int(k)] for k in part] for part in members], [c["exemplar"] for c in clusters]
    )
    assigned = {rows["anomaly_id"][int(k)]: ids[c] for c, part in enumerate(members) for k in part}
    listed = [{"cluster_id": ids[c], **cluster} for c, cluster in enumerate(clusters)]
    return pl.DataFrame(listed, schema=ANOMALY_CLUSTERS.columns, orient="row"), assigned


def directions(vectors: Sequence[Sequence[float]]) -> Floats:
    """``vectors`` scaled to length one, ``[E, V]``; a zero vector stays."""
    x = np.array(vectors, dtype=np.float64).reshape(len(vectors), len(vectors[0]) if vectors else 0)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def stable_ids(known: Sequence[Sequence[str | None]], exemplars: Sequence[str]) -> list[str]:
    """An id for each cluster: the one that most members carried before, each given once; else a new one.

    >>> stable_ids([["a", "a", None], ["a", "b"]], ["x", "y"])
    ['a', 'b']
    """
    votes = [
        (sum(name == former for name in names), -c, former)
        for c, names in enumerate(known)
        for former in sorted({name for name in names if name is not None})
    ]
    chosen: dict[int, str] = {}
    for _, minus, former in sorted(votes, key=lambda vote: (-vote[0], -vote[1], vote[2])):
        if -minus not in chosen and former not in chosen.values():
            chosen[-minus] = former
    fresh = [hashlib.sha256(exemplar.encode()).hexdigest()[:12] for exemplar in exemplars]
    return [chosen.get(c, fresh[c]) for c in range(len(known))]


def name_of(centre: Sequence[float], names: Sequence[str]) -> str:
    """What a centre's loudest features do.

    >>> name_of([0.0] * 4 + [0.9, -0.4] + [0.0] * 3, [*NAMES, "stale"])
    'volume up, trade_size down'
    """
    order = sorted(range(len(centre)), key=lambda k: -abs(centre[k]))
    length = float(np.linalg.norm(centre)) or 1.0
    loudest = [k for k in order if abs(centre[k]) >= _NAMED * length][:3]
    return ", ".join(_change(names[k], centre[k], k) for k in loudest) or "mixed"


def _change(name: str, value: float, place: int) -> str:
    return f"{name} {'up' if value > 0 else 'down'}" if place < len(NAMES) else name


def _labels(x: Floats) -> Ints:
    """Cluster of each row, -1 for none."""
    if len(x) < 2 * SMALLEST:
        return np.full(len(x), -1, dtype=np.int64)
    from sklearn.cluster import HDBSCAN

    model = HDBSCAN(min_cluster_size=SMALLEST, min_samples=2, copy=True)
    return np.asarray(model.fit_predict(x), dtype=np.int64)


def _cluster(rows: pl.DataFrame, members: Ints, names: Sequence[str]) -> dict[str, Any]:
    part = rows[members]
    x = directions(part["vector"].to_list())
    centre = x.mean(axis=0)
    nearest = int(np.argmin(np.square(x - centre).sum(axis=1)))
    return {
        "name": name_of(centre.tolist(), names),
        "n": part.height,
        "exemplar": part["anomaly_id"][nearest],
        "centre": centre.tolist(),
        "first_seen": part["ts_start"].min(),
        "last_seen": part["ts_end"].max(),
    }
