"""Bars as the executors read them: traded rows, checked, sorted by instrument and time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.engine import Rows

KEY = ("instrument_id", "ts_close", "session_date")


def traded_rows(bars: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The traded bars' keys and ``columns`` (Float64), sorted; FeatureError on what cannot be computed on."""
    missing = [name for name in (*KEY, *columns) if name not in bars.columns]
    if missing:
        raise FeatureError(f"bars lack {missing}", hint=f"they have {bars.columns}; pass the table bars")
    traded = bars.filter(pl.col("status") == "traded") if "status" in bars.columns else bars
    values = [pl.col(name).cast(pl.Float64) for name in columns]
    rows = traded.select(*KEY, *values).sort("instrument_id", "ts_close")
    again = (pl.col("instrument_id") == pl.col("instrument_id").shift()) & (
        pl.col("ts_close") == pl.col("ts_close").shift()
    )
    twice = rows.filter(again)
    if twice.height:
        who, when = twice.row(0)[:2]
        raise FeatureError(
            f"{who} has two bars that close at {when}", hint="one row a bar; see nofx sql on bars"
        )
    return rows


def as_rows(rows: pl.DataFrame, columns: Sequence[str], instruments: Sequence[str]) -> Rows:
    """Arrays of sorted rows, for ``instruments`` (sorted, a superset of those in the rows)."""
    values = np.full((len(columns), rows.height), np.nan)
    for k, name in enumerate(columns):
        values[k] = rows[name].fill_null(float("nan")).to_numpy()
    values[~np.isfinite(values)] = np.nan
    names = rows["instrument_id"]
    cuts = (
        names.search_sorted(pl.Series(instruments, dtype=pl.String)).to_numpy()
        if instruments
        else np.zeros(0)
    )
    return Rows(
        instruments=tuple(instruments),
        offsets=np.append(cuts, rows.height).astype(np.int64),
        columns=values,
        times=rows["ts_close"].dt.epoch("us").to_numpy().astype(np.int64),
        sessions=rows["session_date"].to_physical().to_numpy().astype(np.int64),
    )
