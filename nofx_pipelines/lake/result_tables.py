"""What stands in ``mart.duckdb``: results small enough for a dashboard, over all scopes."""

from __future__ import annotations

from pathlib import Path

from nofx_pipelines.lake.mart import build_mart
from nofx_pipelines.lake.query import table_names
from nofx_pipelines.lake.store import Lake

# mart table: the lake table that it needs, and the SQL that fills it
RESULTS = {
    "leaderboard": ("leaderboard", "SELECT * FROM leaderboard ORDER BY scope, metric, kind"),
    "gates": ("gates", "SELECT * FROM gates ORDER BY scope, gate"),
    "equity": ("equity", "SELECT * FROM equity ORDER BY scope, policy, ts_close"),
    "signals": ("signals", "SELECT * FROM signals ORDER BY scope, ts_close, instrument_id"),
    "hpo_trials": ("hpo_trials", "SELECT * FROM hpo_trials ORDER BY scope, study, trial"),
    "policy_leaderboard": (
        "policy_leaderboard",
        "SELECT * FROM policy_leaderboard ORDER BY scope, metric",
    ),
    "policy_equity": ("policy_equity", "SELECT * FROM policy_equity ORDER BY scope, policy, seed, ts_close"),
    "role_credit": ("role_credit", "SELECT * FROM role_credit ORDER BY scope, role"),
    "excluded_sessions": ("excluded_sessions", "SELECT * FROM excluded_sessions ORDER BY ALL"),
    "coverage": (
        "bars",
        """SELECT scope, instrument_id, min(session_date) AS first_session, max(session_date) AS last_session,
             count(*) AS bars, count(*) FILTER (status = 'traded') AS traded,
             count(*) FILTER (status = 'source_hole') AS holes
           FROM bars GROUP BY ALL ORDER BY ALL""",
    ),
    "quarantined": (
        "quarantine",
        "SELECT scope, source, rule, count(*) AS rows FROM quarantine GROUP BY ALL ORDER BY ALL",
    ),
}


def build_result_mart(lake: Lake, path: Path) -> dict[str, int]:
    """Build the mart from the tables that exist; rows by table."""
    known = set(table_names(lake))
    return build_mart(lake, path, {name: sql for name, (needs, sql) in RESULTS.items() if needs in known})
