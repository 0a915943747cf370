"""How many planted anomalies were found, per kind, and how many alerts were about one."""

from __future__ import annotations

import polars as pl

from nofx_pipelines.market.simulator.anomalies import INVALID, KINDS

SCHEMA = {
    "kind": pl.String,
    "planted": pl.Int64,
    "found": pl.Int64,
    "recall": pl.Float64,
}


def recovery(
    truth: pl.DataFrame, events: pl.DataFrame, closes: pl.Series
) -> tuple[pl.DataFrame, float | None]:
    """Recall per kind and, in the row ``all``, of all; and the precision of ``events``.

    ``truth``: TRUTH_ANOMALIES; kinds that break a rule of a bar by construction are the quarantine's
    matter and left out. ``events``: ANOMALIES. ``closes``: the closes of all bars that were scored; what was
    planted before the first is left out. An event finds what was planted on its instrument when they overlap,
    or when it begins with the bar after: a wrong close shows in the next opening. Precision is None
    without events.
    """
    times = closes.unique().sort()
    kinds = [kind.name for kind in KINDS]
    if times.is_empty():
        return pl.DataFrame(schema=SCHEMA), None
    nexts = pl.DataFrame({"ts_end": times, "until": times.shift(-1).fill_null(times[-1])})
    planted = (
        truth.filter(pl.col("kind").is_in(kinds) & ~pl.col("kind").is_in(list(INVALID)))
        .filter((pl.col("ts_end") >= times[0]) & (pl.col("ts_start") <= times[-1]))
        .sort("ts_end")
        .join_asof(nexts, on="ts_end", strategy="forward")
        .with_columns(pl.col("until").fill_null(times[-1]))
        .with_row_index("plant")
    )
    pairs = planted.join(events, on="instrument_id", suffix="_event").filter(
        (pl.col("ts_start_event") <= pl.col("until")) & (pl.col("ts_end_event") >= pl.col("ts_start"))
    )
    found = pairs["plant"].unique()
    by_kind = (
        planted.with_columns(pl.col("plant").is_in(found.to_list()).alias("hit"))
        .group_by("kind")
        .agg(pl.len().cast(pl.Int64).alias("planted"), pl.col("hit").sum().cast(pl.Int64).alias("found"))
        .sort("kind")
    )
    total = by_kind.select(pl.lit("all").alias("kind"), pl.col("planted").sum(), pl.col("found").sum())
    table = pl.concat([by_kind, total]).with_columns(
        pl.when(pl.col("planted") > 0).then(pl.col("found") / pl.col("planted")).alias("recall")
    )
    precision = pairs["anomaly_id"].n_unique() / events.height if events.height else None
    return table, precision
