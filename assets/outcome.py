"""How a stage's result becomes what a person reads in the UI: rows, versions, schema, figures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Literal

import dagster as dg

from nofx_pipelines import markdown
from nofx_pipelines.config import ComputeConfig
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.market.sources import Decision

MetadataValues = Mapping[str, Any]


class StageOptions(dg.Config):
    """What a person can ask of one stage in the launchpad."""

    force: bool = False
    """Recompute what is fresh, too."""


class HeavyOptions(StageOptions):
    """What a person can ask of a stage that may run on a GPU; it overrides the universe's own choice."""

    device: Literal["universe", "auto", "cuda", "mps", "cpu"] = "universe"
    """Where to run; ``universe``: as its own configuration says."""

    def compute_of(self, universe: ComputeConfig) -> ComputeConfig:
        """The universe's compute with this run's device."""
        return universe if self.device == "universe" else replace(universe, device=self.device)


def materialized(
    table: LakeTable,
    *,
    rows: int,
    seconds: float,
    reads: Mapping[str, int] | None = None,
    device: str = "cpu",
    more: MetadataValues | None = None,
    checks: Sequence[dg.AssetCheckResult] = (),
    described: Mapping[str, str] | None = None,
    problems: Sequence[str] = (),
) -> dg.MaterializeResult:
    """The result of a stage that wrote ``table``, with the table's content as data version.

    ``described`` says of columns what they are, ``problems`` what went wrong without stopping the stage.
    """
    stamp = table.stamp()
    metadata: dict[str, Any] = {
        "rows": rows,
        "seconds": round(seconds, 3),
        "device": device,
        "table": f"{table.scope}/{table.name}",
        **(more or {}),
    }
    if stamp is not None:
        metadata |= {"table_version": stamp.version, "dagster/row_count": stamp.rows}
        metadata["dagster/column_schema"] = column_schema(table, described or {})
    if problems:
        metadata["problems"] = "; ".join(problems)
    if reads:
        metadata["reads"] = dg.MetadataValue.json(dict(reads))
    return dg.MaterializeResult(
        metadata=metadata,
        data_version=dg.DataVersion(stamp.content[:16] if stamp else "empty"),
        check_results=list(checks),
    )


def column_schema(table: LakeTable, described: Mapping[str, str]) -> dg.TableSchema:
    """The stored columns, their types and what is said of them."""
    columns = table.scan().collect_schema().items()
    return dg.TableSchema([dg.TableColumn(name, str(kind), _said(described, name)) for name, kind in columns])


def _said(described: Mapping[str, str], name: str) -> str | None:
    return markdown.escape(described[name]) if name in described else None


def image(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """A figure as a Markdown image, which the UI shows in place."""
    return dg.MetadataValue.md(
        f"![{markdown.escape(title)}](data:image/png;base64,{base64.b64encode(png).decode()})"
    )


def decisions_markdown(decisions: Sequence[Decision]) -> str:
    """What the sources recognised, as a Markdown table."""
    rows = [(d.subject, d.matter, d.value, d.evidence) for d in decisions[:40]]
    return markdown.table(("subject", "matter", "decided", "because"), rows)


def sessions_note(days: Sequence[date], limit: int = 20) -> str:
    """The first of ``days``, and how many more there are.

    >>> sessions_note([date(2024, 1, 2)])
    '2024-01-02'
    """
    shown = ", ".join(str(day) for day in days[:limit])
    return shown if len(days) <= limit else f"{shown} and {len(days) - limit} more"
