"""Window columns for a universe's rows, from its table of features."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from nofx_pipelines.lake.schemas import TRAINING_SET
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.models.lags import base_names, parse, with_lags


def windowed(
    lake: Lake, universe: str, rows: pl.DataFrame, names: Sequence[str], *, version: int | None = None
) -> pl.DataFrame:
    """A training set whose feature columns are ``names``.

    Past values come from the table of features (its newest version, or ``version``): a training set lacks
    the bars whose label is not known.
    """
    if any(parse(name)[1] for name in names):
        past = lake.table(universe, "features").scan(version=version)
        rows = with_lags(rows, names, past.select("instrument_id", "ts_close", *base_names(names)).collect())
    return rows.select(*TRAINING_SET.columns, *names)
