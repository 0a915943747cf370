"""Where refused rows and left-out sessions are written, so that a repeated run adds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from nofx_pipelines.lake.schemas import EXCLUDED_SESSIONS, QUARANTINE
from nofx_pipelines.lake.store import Lake


def quarantine(lake: Lake, market: str, rejects: pl.DataFrame, *, run_id: str) -> int:
    """Append quarantine rows (without ``run_id``) that are not there yet; returns how many were given."""
    if rejects.is_empty():
        return 0
    table = lake.table(market, "quarantine")
    new = rejects.unique("quarantine_id", keep="first", maintain_order=True)
    if table.exists():
        lake_rows = table.scan().select("quarantine_id").collect()
        new = new.join(lake_rows, on="quarantine_id", how="anti")
    if new.height:
        rows = new.with_columns(pl.lit(run_id).alias("run_id")).select(*QUARANTINE.columns)
        table.append(rows, run_id=run_id)
    return rejects.height


def write_excluded(
    lake: Lake, scope: str, table: str, sessions: Sequence[date], excluded: pl.DataFrame, *, run_id: str
) -> None:
    """Set which of ``sessions`` are left out of ``<scope>/<table>``; other tables' rows stay."""
    listed = lake.table(scope, "excluded_sessions")
    start, end = sessions[0], sessions[-1] + timedelta(days=1)
    lake_rows = listed.scan(start=start, end=end).collect() if listed.exists() else excluded.clear()
    mine = (pl.col("table") == table) & pl.col("session_date").is_in(list(sessions))
    names = [name for name in EXCLUDED_SESSIONS.columns if name != "decided_at"]
    before, after = (frame.select(names).sort(names) for frame in (lake_rows.filter(mine), excluded))
    if before.equals(after):
        return
    listed.replace(start, end, pl.concat([lake_rows.filter(~mine), excluded]), run_id=run_id)
