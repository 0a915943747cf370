"""Small frames of bars and predictions from matrices ``[T, N]``, one row a bar, one column an instrument."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from nofx_pipelines.lake.schemas import UTC_US

FIRST = datetime(2024, 1, 1, 1, tzinfo=UTC)


def _keys(shape: tuple[int, int], per_session: int) -> pl.DataFrame:
    rows = []
    for t in range(shape[0]):
        day, minute = divmod(t, per_session)
        opens = FIRST + timedelta(days=day, minutes=minute)
        closes = opens + timedelta(minutes=1)
        rows += [
            (f"I{i:02d}", opens, closes, date(2024, 1, 1) + timedelta(days=day)) for i in range(shape[1])
        ]
    schema = {"instrument_id": pl.String, "ts_open": UTC_US, "ts_close": UTC_US, "session_date": pl.Date}
    return pl.DataFrame(rows, schema=schema, orient="row")


def bars_frame(opens: np.ndarray, closes: np.ndarray, per_session: int = 1) -> pl.DataFrame:
    """Bars without a price (NaN) are suspended."""
    return _keys(opens.shape, per_session).with_columns(
        pl.Series("open", opens.ravel(), dtype=pl.Float64).fill_nan(None),
        pl.Series("close", closes.ravel(), dtype=pl.Float64).fill_nan(None),
        pl.Series("status", np.where(np.isnan(opens.ravel()), "suspended", "traded")),
    )


def predictions_frame(
    scores: np.ndarray, forward: np.ndarray | None = None, per_session: int = 1
) -> pl.DataFrame:
    """Rows without a score (NaN) are left out; unknown forward returns (NaN) are null."""
    outcome = np.full(scores.shape, np.nan) if forward is None else forward
    return (
        _keys(scores.shape, per_session)
        .drop("ts_open")
        .with_columns(
            pl.Series("score", scores.ravel(), dtype=pl.Float64),
            pl.Series("forward_return", outcome.ravel(), dtype=pl.Float64).fill_nan(None),
        )
        .filter(pl.col("score").is_not_nan())
    )
