"""Bring a universe's anomaly tables up to its bars: scores by session, anomalies and clusters as a whole.

A session's scores depend on its own bars and on those of the sessions that its period's reference and its
conditions are made of, none of them later; the fingerprint covers just these.
"""

from __future__ import annotations

import hashlib
import json
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import polars as pl

from nofx_pipelines.anomaly.clusters import find_clusters
from nofx_pipelines.anomaly.detectors.registry import ENSEMBLE, Detectors, load_detectors
from nofx_pipelines.anomaly.ensemble import Reference
from nofx_pipelines.anomaly.events import find_events
from nofx_pipelines.anomaly.explanation import vector_names
from nofx_pipelines.anomaly.recovery import recovery
from nofx_pipelines.anomaly.refit import Refit
from nofx_pipelines.anomaly.scoring import history, score_sessions
from nofx_pipelines.anomaly.triage import KEPT, kept, rewrite
from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import TableNotFound
from nofx_pipelines.lake.content import canonical, digest
from nofx_pipelines.lake.incremental import RefreshResult, refresh_sessions
from nofx_pipelines.lake.schemas import ANOMALIES, BARS
from nofx_pipelines.lake.stamps import SessionStamp
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.market.adjust import adjusted, running_hashes, stored_factors
from nofx_pipelines.registry.tracking import Tracker

_CHUNK_ROWS = 1_000_000
"""Bars scored at once, about."""
_CHUNK_SESSIONS = 250
_DAY = timedelta(days=1)


@dataclass(frozen=True, eq=False)
class EventRefresh:
    """What was found: anomalies by severity, and how well planted ones were recovered (simulated only)."""

    rows: int
    by_severity: dict[str, int]
    recovered: pl.DataFrame | None
    precision: float | None
    seconds: float


@dataclass(frozen=True)
class ClusterRefresh:
    """What was found: clusters, and anomalies that belong to one."""

    rows: int
    members: int
    seconds: float


def refresh_scores(
    lake: Lake,
    universe: UniverseConfig,
    tracker: Tracker | None = None,
    *,
    start: date,
    end: date,
    run_id: str,
    code_version: str,
    force: bool = False,
) -> RefreshResult:
    """Score the sessions in ``[start, end)`` that are not fresh; evidence is committed with them.

    The references fitted on the way are logged to ``tracker``. Raises TableNotFound without bars.
    """
    inputs = _Inputs.read(lake, universe)
    days = [day for day in inputs.days if start <= day < end]
    run = _Run(inputs, lake.table(universe.name, "anomaly_evidence"), code_version, run_id)
    widest = max((inputs.stamps[day].rows for day in days if day in inputs.stamps), default=1)
    result = refresh_sessions(
        lake.table(universe.name, "anomaly_scores"),
        days,
        code_version=code_version,
        inputs={day: inputs.fingerprint(day) for day in days},
        compute=run.scores,
        lineage=inputs.lineage,
        run_id=run_id,
        force=force,
        chunk=max(1, min(_CHUNK_SESSIONS, _CHUNK_ROWS // max(widest, 1))),
    )
    if tracker is not None and run.references:
        _log(tracker, universe, run.references, run_id)
    return result


def score_inputs(lake: Lake, universe: UniverseConfig, *, start: date, end: date) -> dict[date, str]:
    """The fingerprint of what the scores of each session in ``[start, end)`` would be computed from."""
    if not lake.table(universe.name, "bars").exists():
        return {}
    inputs = _Inputs.read(lake, universe)
    return {day: inputs.fingerprint(day) for day in inputs.days if start <= day < end}


def refresh_events(
    lake: Lake, universe: UniverseConfig, *, inputs: str, run_id: str, code_version: str
) -> EventRefresh:
    """Merge the alerts of all sessions into anomalies; triage, notes and clusters stay by anomaly_id."""
    began = time.perf_counter()
    scores, evidence = (lake.table(universe.name, f"anomaly_{name}") for name in ("scores", "evidence"))
    table = lake.table(universe.name, "anomalies")
    events = find_events(
        _ensemble(scores),
        evidence.scan().collect(),
        universe.freq,
        universe.anomaly.budget,
        _detectors(universe),
    )
    if table.exists():
        events = kept(events, table.scan().collect())
    table.overwrite(
        events,
        lineage={t.key: v for t in (scores, evidence) if (v := t.version()) is not None},
        code_version=code_version,
        inputs=inputs,
        run_id=run_id,
    )
    return known_events(lake, universe, seconds=time.perf_counter() - began)


def known_events(lake: Lake, universe: UniverseConfig, *, seconds: float = 0.0) -> EventRefresh:
    """What the table of anomalies holds."""
    events = lake.table(universe.name, "anomalies").scan().collect()
    counts = dict(events.group_by("severity").agg(pl.len()).rows())
    recovered, precision = recovered_events(lake, universe, events)
    return EventRefresh(events.height, counts, recovered, precision, seconds)


def recovered_events(
    lake: Lake, universe: UniverseConfig, events: pl.DataFrame
) -> tuple[pl.DataFrame | None, float | None]:
    """Recall per planted kind and precision; None where nothing was planted."""
    truth = lake.table(universe.market, "truth_anomalies")
    if not truth.exists():
        return None, None
    members = lake.table(universe.name, "bars").scan().select("instrument_id").unique().collect()
    planted = truth.scan().collect().join(members, on="instrument_id", how="semi")
    if planted.is_empty():
        return None, None
    scores = lake.table(universe.name, "anomaly_scores").scan()
    return recovery(planted, events, scores.select("ts_close").unique().collect()["ts_close"])


def refresh_clusters(
    lake: Lake, universe: UniverseConfig, *, run_id: str, code_version: str
) -> ClusterRefresh:
    """Cluster the anomalies, write each one's cluster into its row, and the clusters' table.

    Killed in between, the table of clusters stays stale and the next run does both again.
    """
    began = time.perf_counter()
    table = lake.table(universe.name, "anomalies")
    events = table.scan().collect()
    evidence = lake.table(universe.name, "anomaly_evidence").scan().collect()
    names = vector_names(_detectors(universe))
    vectors = (
        events.join(
            evidence,
            left_on=["instrument_id", "ts_peak"],
            right_on=["instrument_id", "ts_close"],
            how="inner",
        )
        .filter(pl.col("vector").list.len() == len(names))  # others are of other detectors
        .select("anomaly_id", "vector")
    )
    clusters, assigned = find_clusters(events, vectors, names)
    ids = pl.Series("cluster_id", [assigned.get(name) for name in events["anomaly_id"]], dtype=pl.String)
    if not ids.equals(events["cluster_id"], null_equal=True):
        rewrite(table, events.with_columns(ids))
    version = table.version()
    lake.table(universe.name, "anomaly_clusters").overwrite(
        clusters,
        lineage={table.key: version} if version is not None else {},
        code_version=code_version,
        inputs=cluster_inputs(lake, universe),
        run_id=run_id,
    )
    return ClusterRefresh(clusters.height, len(assigned), time.perf_counter() - began)


def cluster_inputs(lake: Lake, universe: UniverseConfig) -> str:
    """The fingerprint of the anomalies as they were found, whatever people or clusters wrote on them."""
    table = lake.table(universe.name, "anomalies")
    if not table.exists():
        return ""
    return digest(canonical(table.scan().collect().drop(KEPT), ANOMALIES.key))


def known_clusters(lake: Lake, universe: UniverseConfig) -> ClusterRefresh:
    """What the tables hold."""
    events = lake.table(universe.name, "anomalies").scan().select(pl.col("cluster_id").count()).collect()
    rows = lake.table(universe.name, "anomaly_clusters").scan().collect().height
    return ClusterRefresh(rows, int(events.item()), 0.0)


def _detectors(universe: UniverseConfig) -> Detectors:
    return load_detectors(universe.anomaly.detectors, universe.plugins)


def _ensemble(scores: LakeTable) -> pl.DataFrame:
    rows = scores.scan().filter(pl.col("detector") == ENSEMBLE)
    return rows.select("instrument_id", "ts_close", "session_date", "neg_log10_p").collect()


def _log(tracker: Tracker, universe: UniverseConfig, references: dict[date, Reference], run_id: str) -> None:
    """One run with every period's parameters as an artifact."""
    tags = {"nofx.dagster_run_id": run_id, "nofx.stage": "anomaly_scores", "nofx.universe": universe.name}
    with tracker.run(f"{universe.name}-detectors", experiment=universe.name, tags=tags) as run:
        run.log_params({"seed": universe.anomaly.seed, "periods": len(references)})
        parameters = {str(begins): reference.parameters() for begins, reference in references.items()}
        run.log_file("detectors.json", json.dumps(parameters, indent=1, sort_keys=True).encode())


@dataclass(frozen=True)
class _Inputs:
    """Bars by session and the factors that adjust them."""

    universe: UniverseConfig
    bars: LakeTable
    stamps: dict[date, SessionStamp]
    """Of sessions that have bars and count, ascending."""
    all_days: list[date]
    factors: pl.DataFrame
    ex_dates: list[date]
    factor_hashes: list[str]
    lineage: dict[str, int]
    _prefix: dict[date, str] = field(default_factory=dict)

    @classmethod
    def read(cls, lake: Lake, universe: UniverseConfig) -> _Inputs:
        bars, actions = lake.table(universe.name, "bars"), lake.table(universe.market, "corporate_actions")
        if not bars.exists():
            raise TableNotFound(
                f"{bars.key} was never written",
                kept="nothing was scored",
                hint=f"nofx run --universe {universe.name}",
            )
        stamps, excluded = bars.stamps(), set(bars.excluded_sessions())
        factors = stored_factors(lake, universe.name, universe.market).sort("ex_date", "instrument_id")
        versions = {table.key: table.version() for table in (bars, actions)}
        return cls(
            universe=universe,
            bars=bars,
            stamps={day: stamp for day, stamp in stamps.items() if stamp.rows and day not in excluded},
            all_days=list(stamps),
            factors=factors,
            ex_dates=factors["ex_date"].unique().sort().to_list(),
            factor_hashes=running_hashes(factors),
            lineage={key: version for key, version in versions.items() if version is not None},
        )

    @property
    def days(self) -> list[date]:
        """Every session that bars were written for, those that do not count included."""
        return self.all_days

    @property
    def sessions(self) -> list[date]:
        """Sessions that count."""
        return list(self.stamps)

    def fingerprint(self, day: date) -> str:
        """Hash of all that the scores of ``day`` can depend on."""
        sha = hashlib.sha256()
        if day not in self.stamps:
            return sha.hexdigest()  # it has no scores, whatever the others hold
        begins = Refit.of(self.universe.freq).begins(day)
        sha.update(self._before(begins).encode())
        sessions = self.sessions
        for session in sessions[bisect_left(sessions, begins) : bisect_right(sessions, day)]:
            sha.update(f"{session} {self.stamps[session].content}\n".encode())
        sha.update(self.factor_hashes[bisect_right(self.ex_dates, day)].encode())
        return sha.hexdigest()

    def _before(self, begins: date) -> str:
        """Hash of the sessions before a period that its reference and conditions are made of."""
        if begins not in self._prefix:
            sha, sessions = hashlib.sha256(), self.sessions
            last = bisect_left(sessions, begins)
            for session in sessions[history(sessions, [begins], self.universe.freq) : last]:
                sha.update(f"{session} {self.stamps[session].content}\n".encode())
            self._prefix[begins] = sha.hexdigest()
        return self._prefix[begins]

    def read_bars(self, days: Sequence[date]) -> pl.DataFrame:
        """Adjusted bars of ``days`` and of the sessions before them that they need."""
        sessions = self.sessions
        if not days:
            return pl.DataFrame(schema=BARS.columns)
        first = sessions[history(sessions, days, self.universe.freq)]
        bars = self.bars.scan(start=first, end=days[-1] + _DAY)
        return adjusted(bars, self.factors, self.factors).collect()


@dataclass
class _Run:
    """One refresh: writes the evidence on the way, collects the references."""

    inputs: _Inputs
    evidence: LakeTable
    code_version: str
    run_id: str
    references: dict[date, Reference] = field(default_factory=dict)

    def scores(self, part: list[date]) -> pl.DataFrame:
        """The scores of contiguous sessions; their evidence is committed first."""
        universe, days = self.inputs.universe, [day for day in part if day in self.inputs.stamps]
        scored = score_sessions(
            self.inputs.read_bars(days),
            universe.freq,
            days,
            detectors=universe.anomaly.detectors,
            plugins=universe.plugins,
            seed=universe.anomaly.seed,
            detector_version=self.code_version[:12],
        )
        self.references |= scored.references
        self.evidence.replace(
            part[0],
            part[-1] + _DAY,
            scored.evidence,
            lineage=self.inputs.lineage,
            code_version=self.code_version,
            inputs={day: self.inputs.fingerprint(day) for day in part},
            run_id=self.run_id,
        )
        return scored.scores
