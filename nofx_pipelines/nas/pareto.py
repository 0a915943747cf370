"""Architectures that no other beats in both rank IC and parameters."""

from __future__ import annotations

import polars as pl


def pareto(trials: pl.DataFrame) -> pl.DataFrame:
    """The front, fewest parameters first: trial, rank_ic, n_params. ``trials``: rows of NAS_TRIALS.

    Finalists are measured at another fidelity and left out.

    >>> values = [[0.05, 300.0], [0.04, 100.0], [0.03, 200.0]]
    >>> sizes = {"n_params": [300, 100, 200], "fidelity": [0.5] * 3}
    >>> frame = pl.DataFrame({"trial": [0, 1, 2], "values": values, **sizes})
    >>> pareto(frame)["trial"].to_list()
    [1, 0]
    """
    measured = (
        trials.filter(pl.col("values").is_not_null() & (pl.col("fidelity") < 1.0))
        .select("trial", pl.col("values").list.get(0).alias("rank_ic"), "n_params")
        .sort("n_params", pl.col("rank_ic").neg(), "trial")
    )
    better = pl.col("rank_ic") > pl.col("rank_ic").cum_max().shift(1)
    return measured.filter(better.fill_null(True))
