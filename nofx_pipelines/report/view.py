"""What the report shows of one universe, read from the lake."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.report.agents import AgentsView, read_agents
from nofx_pipelines.report.anomalies import AnomalyView, read_anomalies

SHOWN_FEATURES = ("sma_20", "bollinger_upper", "bollinger_lower", "rsi_14")
LINEAGE_TABLES = (
    "bars",
    "features",
    "anomaly_scores",
    "anomalies",
    "marl_history",
    "policy_leaderboard",
    "labels",
    "training_set",
    "hpo_trials",
    "nas_trials",
    "leaderboard",
    "gates",
    "signals",
)


@dataclass(frozen=True)
class UniverseView:
    """The frames behind one universe's chapter; an empty frame where a stage has not run."""

    universe: UniverseConfig
    feed: FeedConfig
    coverage: pl.DataFrame
    """session_date, rows, holes."""
    excluded: pl.DataFrame
    quarantine: pl.DataFrame
    """rule, rows."""
    price: pl.DataFrame
    """One instrument's bars beside its features."""
    trials: pl.DataFrame
    networks: pl.DataFrame
    leaderboard: pl.DataFrame
    gates: pl.DataFrame
    equity: pl.DataFrame
    signals: pl.DataFrame
    anomalies: AnomalyView
    agents: AgentsView
    lineage: pl.DataFrame
    """table, version, rows, code_version, written, reads."""

    @property
    def promoted(self) -> bool | None:
        """The gates' verdict; None before there is one."""
        return None if self.gates.is_empty() else bool(self.gates["passed"].all())

    def metric(self, kind: str, *names: str) -> tuple[float | None, float | None, float | None]:
        """Value, lo and hi of the first of ``names`` that the leaderboard has for ``kind``."""
        for name in names:
            row = self.leaderboard.filter((pl.col("kind") == kind) & (pl.col("metric") == name))
            if row.height:
                return row.select("value", "lo", "hi").row(0)
        return (None, None, None)


def read_view(lake: Lake, universe: UniverseConfig, feed: FeedConfig) -> UniverseView:
    """Everything that the chapter on ``universe`` shows."""

    def whole(name: str) -> pl.DataFrame:
        table = lake.table(universe.name, name)
        return table.scan().collect() if table.exists() else pl.DataFrame(schema=table.schema.columns)

    bars = lake.table(universe.name, "bars")
    return UniverseView(
        universe=universe,
        feed=feed,
        coverage=_coverage(bars),
        excluded=whole("excluded_sessions"),
        quarantine=_quarantine(lake.table(feed.market, "quarantine")),
        price=_price(bars, lake.table(universe.name, "features")),
        trials=whole("hpo_trials"),
        networks=whole("nas_trials"),
        leaderboard=whole("leaderboard"),
        gates=whole("gates"),
        equity=whole("equity"),
        signals=_latest(whole("signals")),
        anomalies=read_anomalies(lake, universe),
        agents=read_agents(lake, universe),
        lineage=_lineage(lake, universe),
    )


def _coverage(bars: LakeTable) -> pl.DataFrame:
    if not bars.exists():
        return pl.DataFrame(schema={"session_date": pl.Date, "rows": pl.UInt32, "holes": pl.UInt32})
    holes = (pl.col("status") == "source_hole").sum().alias("holes")
    return (
        bars.scan().group_by("session_date").agg(pl.len().alias("rows"), holes).sort("session_date").collect()
    )


def _quarantine(table: LakeTable) -> pl.DataFrame:
    if not table.exists():
        return pl.DataFrame(schema={"rule": pl.String, "rows": pl.UInt32})
    return (
        table.scan()
        .group_by("rule")
        .agg(pl.len().alias("rows"))
        .sort("rows", "rule", descending=True)
        .collect()
    )


def _price(bars: LakeTable, features: LakeTable, rows: int = 250) -> pl.DataFrame:
    """The last ``rows`` bars of the instrument with the most traded bars, and its features."""
    if not bars.exists() or not features.exists():
        return pl.DataFrame()
    traded = bars.scan().filter(pl.col("status") == "traded")
    counts = (
        traded.group_by("instrument_id").agg(pl.len()).sort("len", "instrument_id", descending=[True, False])
    )
    first = counts.collect()["instrument_id"].to_list()[:1]
    if not first:
        return pl.DataFrame()
    keys = ["instrument_id", "ts_close"]
    known = features.scan().collect_schema().names()
    shown = features.scan().select(*keys, *(name for name in SHOWN_FEATURES if name in known))
    chosen = traded.filter(pl.col("instrument_id") == first[0]).select(*keys, "close")
    return chosen.join(shown, on=keys, how="left").sort("ts_close").collect().tail(rows)


def _latest(signals: pl.DataFrame) -> pl.DataFrame:
    if signals.is_empty():
        return signals
    last = signals.filter(pl.col("ts_close") == pl.col("ts_close").max())
    return last.sort("score", descending=True)


def _lineage(lake: Lake, universe: UniverseConfig) -> pl.DataFrame:
    rows = []
    for name in LINEAGE_TABLES:
        table = lake.table(universe.name, name)
        stamp = table.stamp()
        if stamp is not None:
            rows.append((table.key, stamp.version, stamp.rows, stamp.code_version, stamp.content[:12]))
    schema = {
        "table": pl.String,
        "version": pl.Int64,
        "rows": pl.Int64,
        "code": pl.String,
        "content": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")
