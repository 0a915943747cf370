"""Which trial of a study is the best."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from nofx_pipelines.errors import ModelError


def best_params(trials: pl.DataFrame) -> dict[str, Any]:
    """The parameters of the complete trial with the highest rank IC, the earlier one of equals."""
    complete = trials.filter(pl.col("state") == "COMPLETE").with_columns(
        pl.col("values").list.get(0).alias("rank_ic")
    )
    if complete.is_empty():
        raise ModelError(
            "the study has no complete trial", kept="no model was trained", hint="nofx run --force"
        )
    best = complete.sort("rank_ic", "trial", descending=[True, False])
    found: dict[str, Any] = json.loads(best["params"][0])
    return found
