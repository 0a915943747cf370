"""What people decided about anomalies: kept by anomaly_id, whatever is computed again."""

from __future__ import annotations

import polars as pl

from nofx_pipelines.errors import DataError
from nofx_pipelines.lake.schemas import ANOMALIES
from nofx_pipelines.lake.table import LakeTable

STATES = ("open", "confirmed", "dismissed")
KEPT = ("cluster_id", "triage", "note")
"""Columns that an event keeps when it is found again."""


def kept(events: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """``events`` with the triage, note and cluster that the same anomaly had ``before``.

    An anomaly that somebody decided about or wrote on stays although it is not found any more: what a
    person wrote is never lost.
    """
    known = before.select("anomaly_id", *(pl.col(name).alias(f"{name}_before") for name in KEPT))
    joined = events.join(known, on="anomaly_id", how="left").with_columns(
        pl.coalesce("triage_before", "triage").alias("triage"),
        pl.coalesce("note_before", "note").alias("note"),
        pl.coalesce("cluster_id_before", "cluster_id").alias("cluster_id"),
    )
    decided = before.filter((pl.col("triage") != "open") | pl.col("note").is_not_null())
    gone = decided.join(events, on="anomaly_id", how="anti")
    return pl.concat([joined.select(ANOMALIES.columns.keys()), gone.select(ANOMALIES.columns.keys())])


def set_triage(table: LakeTable, anomaly_id: str, state: str, note: str | None) -> None:
    """Write a decision into the table ``anomalies``.

    ``anomaly_id`` may be shortened as long as one anomaly begins so. Raises DataError for an unknown state
    or id.
    """
    if state not in STATES:
        raise DataError(
            f"no triage state {state!r}", kept="nothing was written", hint=f"one of {', '.join(STATES)}"
        )
    events = table.scan().collect()
    chosen = pl.col("anomaly_id").str.starts_with(anomaly_id)
    matches = events.filter(chosen).height if anomaly_id else 0
    if matches != 1:
        raise DataError(
            f"{matches} anomalies begin with {anomaly_id!r}",
            kept="nothing was written",
            hint="nofx anomalies list shows their ids",
        )
    changed = events.with_columns(
        pl.when(chosen).then(pl.lit(state)).otherwise("triage").alias("triage"),
        pl.when(chosen).then(pl.lit(note)).otherwise("note").alias("note"),
    )
    rewrite(table, changed)


def rewrite(table: LakeTable, events: pl.DataFrame) -> int:
    """Write ``events`` over the table with the stamp that it has: it stays as fresh as it was."""
    stamp, version = table.stamp(), table.version()
    assert stamp is not None
    assert version is not None
    lineage = table.commit(version).message.lineage
    return table.overwrite(events, lineage=lineage, code_version=stamp.code_version, inputs=stamp.inputs)
