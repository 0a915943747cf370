"""Which searched network is the best, decoded from what was stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from nofx_pipelines.models.networks.spec import ArchSpec


@dataclass(frozen=True)
class BestNetwork:
    """The finalist with the highest rank IC at full fidelity."""

    trial: int
    genotype: tuple[int, ...]
    spec: ArchSpec
    rank_ic: float


def best_network(trials: pl.DataFrame) -> BestNetwork | None:
    """The best finalist of NAS_TRIALS; None when there is none (no search, or all failed)."""
    finalists = trials.filter((pl.col("state") == "COMPLETE") & (pl.col("fidelity") == 1.0)).with_columns(
        pl.col("values").list.get(0).alias("rank_ic")
    )
    if finalists.is_empty():
        return None
    row: dict[str, Any] = finalists.sort("rank_ic", "trial", descending=[True, False]).row(0, named=True)
    return BestNetwork(
        row["trial"], tuple(row["genotype"]), ArchSpec.from_json(row["spec"]), float(row["rank_ic"])
    )
