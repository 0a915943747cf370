"""Column names, dtypes and keys of every table in the lake.

Strings stay strings in storage (Delta has no enums), times are ``Datetime("us", "UTC")``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import polars as pl

UTC_US = pl.Datetime("us", "UTC")

_BAR_VALUES: dict[str, pl.DataType] = {
    "ts_close": UTC_US,
    "session_date": pl.Date(),
    "freq": pl.String(),
    "session_phase": pl.String(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "amount": pl.Float64(),
    "n_trades": pl.Int64(),
    "taker_volume": pl.Float64(),
    "taker_amount": pl.Float64(),
    "prev_close": pl.Float64(),
    "limit_up": pl.Float64(),
    "limit_down": pl.Float64(),
    "status": pl.String(),
    "price_basis": pl.String(),
    "is_final": pl.Boolean(),
    "quality": pl.List(pl.String()),
}
_BAR_OPTIONAL = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "amount",
    "n_trades",
    "taker_volume",
    "taker_amount",
    "prev_close",
    "limit_up",
    "limit_down",
)


@dataclass(frozen=True)
class TableSchema:
    """What a table's rows look like.

    ``open_ended`` tables (features, training sets) carry further ``Float64`` columns, one a
    feature. ``session_column`` is the Date column by which ranges are replaced, None for a table
    that is always written whole. ``renamed`` maps columns to the names that they had in earlier versions:
    files written under these are read as they are, and written under the new ones.
    """

    name: str
    columns: dict[str, pl.DataType]
    key: tuple[str, ...]
    nullable: frozenset[str] = field(default_factory=frozenset)
    session_column: str | None = "session_date"
    open_ended: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)


def _schema(
    name: str,
    columns: dict[str, pl.DataType],
    key: tuple[str, ...],
    nullable: tuple[str, ...] = (),
    session_column: str | None = "session_date",
    open_ended: bool = False,
    renamed: Mapping[str, str] | None = None,
) -> TableSchema:
    return TableSchema(name, columns, key, frozenset(nullable), session_column, open_ended, renamed or {})


_S, _F, _I32, _I64, _D, _B = pl.String(), pl.Float64(), pl.Int32(), pl.Int64(), pl.Date(), pl.Boolean()

INSTRUMENTS = _schema(
    "instruments",
    {
        "instrument_id": _S,
        "valid_from": _D,
        "valid_to": _D,
        "symbol": _S,
        "market": _S,
        "exchange": _S,
        "board": _S,
        "asset_class": _S,
        "name": _S,
        "currency": _S,
        "lot_size": _F,
        "tick_size": _F,
        "sector": _S,
        "listed_on": _D,
        "delisted_on": _D,
    },
    ("instrument_id", "valid_from"),
    ("valid_to", "sector", "listed_on", "delisted_on"),
    session_column=None,
)

SOURCE_BARS = _schema(
    "source_bars",
    {
        "instrument_id": _S,
        "ts_open": UTC_US,
        "source": _S,
        "revision": _I32,
        **_BAR_VALUES,
        "knowledge_time": UTC_US,
        "knowledge_kind": _S,
        "source_rev": _S,
        "raw_ref": _S,
        "row_hash": _S,
    },
    ("instrument_id", "ts_open", "source", "revision"),
    (*_BAR_OPTIONAL, "source_rev", "raw_ref"),
)

BARS = _schema(
    "bars",
    {
        "instrument_id": _S,
        "ts_open": UTC_US,
        **_BAR_VALUES,
        "source": _S,
        "revision": _I32,
        "knowledge_time": UTC_US,
    },
    ("instrument_id", "ts_open"),
    _BAR_OPTIONAL,
)

CORPORATE_ACTIONS = _schema(
    "corporate_actions",
    {
        "instrument_id": _S,
        "ex_date": _D,
        "kind": _S,
        "ratio": _F,
        "cash": _F,
        "currency": _S,
        "announced_on": _D,
        "source": _S,
        "knowledge_time": UTC_US,
    },
    ("instrument_id", "ex_date", "kind"),
    ("ratio", "cash", "currency", "announced_on"),
    session_column=None,
)

EXCLUDED_SESSIONS = _schema(
    "excluded_sessions",
    {"table": _S, "session_date": _D, "rule": _S, "reason": _S, "decided_at": UTC_US},
    ("table", "session_date"),
)

QUARANTINE = _schema(
    "quarantine",
    {
        "quarantine_id": _S,
        "source": _S,
        "file": _S,
        "instrument_id": _S,
        "ts_open": UTC_US,
        "rule": _S,
        "reason": _S,
        "value": _S,
        "raw": _S,
        "seen_at": UTC_US,
        "run_id": _S,
    },
    ("quarantine_id",),
    ("file", "instrument_id", "ts_open"),
    session_column=None,
)

FEATURES = _schema(
    "features",
    {"instrument_id": _S, "ts_close": UTC_US, "session_date": _D, "version": _S},
    ("instrument_id", "ts_close"),
    open_ended=True,
)

FEATURE_STATE = _schema(
    "feature_state",
    {"instrument_id": _S, "session_date": _D, "version": _S, "state": pl.Binary()},
    ("instrument_id", "session_date"),
)

LABELS = _schema(
    "labels",
    {
        "instrument_id": _S,
        "ts_close": UTC_US,
        "horizon": _I32,
        "session_date": _D,
        "forward_return": _F,
        "barrier": pl.Int8(),
        "barrier_ts": UTC_US,
        "weight": _F,
        "known_at": UTC_US,
    },
    ("instrument_id", "ts_close", "horizon"),
    ("forward_return", "barrier", "barrier_ts", "known_at"),
)

TRAINING_SET = _schema(
    "training_set",
    {
        "instrument_id": _S,
        "ts_close": UTC_US,
        "session_date": _D,
        "forward_return": _F,
        "barrier": pl.Int8(),
        "weight": _F,
    },
    ("instrument_id", "ts_close"),
    ("barrier",),
    session_column=None,
    open_ended=True,
)

FOLDS = _schema(
    "folds",
    {"fold": _I32, "role": _S, "start": _D, "end": _D, "purge_bars": _I32, "embargo_bars": _I32},
    ("fold", "role"),
    session_column=None,
)

_TRIALS: dict[str, pl.DataType] = {
    "study": _S,
    "trial": _I32,
    "state": _S,
    "values": pl.List(_F),
    "params": _S,
    "seed": _I64,
    "fidelity": _F,
    "started": UTC_US,
    "finished": UTC_US,
    "seconds": _F,
    "worker": _S,
}

HPO_TRIALS = _schema(
    "hpo_trials",
    # before there were several families a table had no column family: null, of the gradient boosting
    {**_TRIALS, "family": _S},
    ("study", "trial"),
    ("values", "fidelity", "finished", "seconds", "family"),
    session_column=None,
)

NAS_TRIALS = _schema(
    "nas_trials",
    {
        **_TRIALS,
        "genotype": pl.List(_I32),
        "arch_hash": _S,
        "spec": _S,
        "n_params": _I64,
        "flops": _I64,
        "latency_us": _F,
    },
    ("study", "trial"),
    ("values", "fidelity", "finished", "seconds", "latency_us"),
    session_column=None,
)

LEADERBOARD = _schema(
    "leaderboard",
    {
        "model": _S,
        "version": _S,
        "metric": _S,
        "kind": _S,
        "value": _F,
        "lo": _F,
        "hi": _F,
        "n": _I64,
        "seed": _I64,
        "data_versions": _S,
    },
    ("model", "version", "metric"),
    ("value", "lo", "hi", "seed"),
    session_column=None,
)

GATES = _schema(
    "gates",
    {
        "model": _S,
        "version": _S,
        "gate": _S,
        "value": _F,
        "threshold": _F,
        "passed": _B,
        "reason": _S,
        "decided_at": UTC_US,
    },
    ("model", "version", "gate"),
    ("value", "threshold"),
    session_column=None,
)

CHAMPION = _schema(
    "champion",
    {
        "model": _S,
        "version": _S,
        "previous": _S,
        "promoted": _B,
        "reason": _S,
        "decided_at": UTC_US,
    },
    ("model",),
    session_column=None,
)

LEAK_CHECKS = _schema(
    "leak_checks",
    {"stage": _S, "column": _S, "cut": UTC_US, "rows": _I64, "first": _S, "size": _F},
    ("stage", "column", "cut"),
    ("size",),
    session_column=None,
)

SIGNALS = _schema(
    "signals",
    {
        "instrument_id": _S,
        "ts_close": UTC_US,
        "session_date": _D,
        "model": _S,
        "model_version": _S,
        "score": _F,
        "rank": _F,
    },
    ("instrument_id", "ts_close"),
    ("rank",),
)

EQUITY = _schema(
    "equity",
    {"policy": _S, "seed": _I64, "ts_close": UTC_US, "equity": _F, "turnover": _F, "cost": _F},
    ("policy", "seed", "ts_close"),
    session_column=None,
)

MARL_HISTORY = _schema(
    "marl_history",
    {
        "run": _S,
        "iteration": _I32,
        "agent": _S,
        "frames": _I64,
        "reward": _F,
        "reward_components": pl.Struct({"own_return": _F, "role": _F}),
        "losses": pl.Struct({"policy": _F, "value": _F}),
        "entropy": _F,
        "kl": _F,
    },
    ("run", "iteration", "agent"),
    ("reward_components", "entropy", "kl"),
    session_column=None,
)

MARL_TEAMS = _schema(
    "marl_teams",
    {
        "seed": _I64,
        "algorithm": _S,
        "training": _S,
        "data_versions": _S,
        "settings": _S,
        "agents": pl.List(_S),
        "weights": pl.Binary(),
    },
    ("seed",),
    session_column=None,
)

POLICY_EQUITY = replace(EQUITY, name="policy_equity")
POLICY_LEADERBOARD = replace(LEADERBOARD, name="policy_leaderboard")
POLICY_CHAMPION = replace(CHAMPION, name="policy_champion", nullable=frozenset({"previous"}))

ROLE_CREDIT = _schema(
    "role_credit",
    {"model": _S, "version": _S, "role": _S, "value": _F, "alone": _F},
    ("model", "version", "role"),
    session_column=None,
)

TRUTH_SIGNAL = _schema(
    "truth_signal",
    {
        "instrument_id": _S,
        "ts_close": UTC_US,
        "session_date": _D,
        "linear": _F,
        "interaction": _F,
        "expected_return": _F,
    },
    ("instrument_id", "ts_close"),
)

TRUTH_ANOMALIES = _schema(
    "truth_anomalies",
    {
        "instrument_id": _S,
        "ts_start": UTC_US,
        "ts_end": UTC_US,
        "session_date": _D,
        "kind": _S,
        "strength": _F,
    },
    ("instrument_id", "ts_start", "kind"),
)

_EXPLANATION = pl.List(
    pl.Struct({"feature": _S, "value": _F, "expected_low": _F, "expected_high": _F, "contribution": _F})
)

ANOMALY_SCORES = _schema(
    "anomaly_scores",
    {
        "instrument_id": _S,
        "ts_close": UTC_US,
        "detector": _S,
        "session_date": _D,
        "neg_log10_p": _F,
        "detector_version": _S,
    },
    ("instrument_id", "ts_close", "detector"),
)

ANOMALY_EVIDENCE = _schema(
    "anomaly_evidence",
    {
        "instrument_id": _S,
        "ts_close": UTC_US,
        "session_date": _D,
        "score": _F,
        "channel": _S,
        "detector": _S,
        "rule": _S,
        "explanation": _EXPLANATION,
        "vector": pl.List(_F),
    },
    ("instrument_id", "ts_close"),
    ("rule",),
)

ANOMALIES = _schema(
    "anomalies",
    {
        "anomaly_id": _S,
        "instrument_id": _S,
        "ts_start": UTC_US,
        "ts_end": UTC_US,
        "ts_peak": UTC_US,
        "session_date": _D,
        "channel": _S,
        "type": _S,
        "severity": _S,
        "score": _F,
        "confidence": _F,
        "rule": _S,
        "explanation": _EXPLANATION,
        "related": pl.List(_S),
        "cluster_id": _S,
        "triage": _S,
        "note": _S,
    },
    ("anomaly_id",),
    ("rule", "cluster_id", "note"),
    session_column=None,
)

ANOMALY_CLUSTERS = _schema(
    "anomaly_clusters",
    {
        "cluster_id": _S,
        "name": _S,
        "n": _I64,
        "exemplar": _S,
        "centre": pl.List(_F),
        "first_seen": UTC_US,
        "last_seen": UTC_US,
    },
    ("cluster_id",),
    session_column=None,
)

ONLINE_FEATURES = _schema(
    "online_features",
    {"instrument_id": _S, "event_time": UTC_US, "version": _S, "published_at": UTC_US},
    ("instrument_id",),
    session_column=None,
    renamed={"published_at": "handed_over_at"},
)

TABLES: dict[str, TableSchema] = {
    schema.name: schema
    for schema in (
        INSTRUMENTS,
        SOURCE_BARS,
        BARS,
        CORPORATE_ACTIONS,
        EXCLUDED_SESSIONS,
        QUARANTINE,
        FEATURES,
        FEATURE_STATE,
        LABELS,
        TRAINING_SET,
        FOLDS,
        HPO_TRIALS,
        NAS_TRIALS,
        LEADERBOARD,
        GATES,
        CHAMPION,
        LEAK_CHECKS,
        SIGNALS,
        EQUITY,
        MARL_HISTORY,
        MARL_TEAMS,
        POLICY_EQUITY,
        POLICY_LEADERBOARD,
        POLICY_CHAMPION,
        ROLE_CREDIT,
        TRUTH_SIGNAL,
        TRUTH_ANOMALIES,
        ANOMALY_SCORES,
        ANOMALY_EVIDENCE,
        ANOMALIES,
        ANOMALY_CLUSTERS,
        ONLINE_FEATURES,
    )
}
