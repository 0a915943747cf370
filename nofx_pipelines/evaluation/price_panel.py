"""Bars and scores as matrices: one row a bar of the market's grid, one column an instrument."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.errors import DataError, NotEnoughData

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

LIMIT_SLACK = 1e-9
"""Relative; adjusting a price and its limit may round them apart."""


@dataclass(frozen=True)
class Panel:
    """Bars as matrices ``[T, N]``; times in microseconds UTC."""

    instruments: pl.Series
    ts_open_us: NDArray[np.int64]
    ts_close_us: NDArray[np.int64]
    session_date: list[date]
    open: Array  # [T, N] NaN where nothing traded
    mark: Array  # [T, N] last known close, NaN before the first
    can_buy: Flags  # [T, N]
    can_sell: Flags  # [T, N]


def price_panel(bars: pl.DataFrame) -> Panel:
    """Arrange bars as matrices.

    Needs instrument_id, ts_open, ts_close, session_date, open, close, status; honours limit_up and
    limit_down where present (adjusted with the prices). A bar can be filled when its status is ``traded``
    and its open is known; not bought when it opens at limit-up, not sold at limit-down.
    """
    if bars.is_empty():
        raise NotEnoughData("there are no bars for the portfolio", hint="widen start and end in nofx.toml")
    times, instruments, place = grid(bars)
    shape = (times.height, len(instruments))
    traded = matrix(bars["status"] == "traded", place, shape, False)
    opens = matrix(bars["open"], place, shape, np.nan)
    fillable = traded & np.isfinite(opens) & (opens > 0)
    high, low = (
        matrix(bars[name], place, shape, np.nan) if name in bars.columns else np.full(shape, np.nan)
        for name in ("limit_up", "limit_down")
    )
    return Panel(
        instruments,
        times["ts_open"].cast(pl.Int64).to_numpy(),
        times["ts_close"].cast(pl.Int64).to_numpy(),
        times["session_date"].to_list(),
        np.where(fillable, opens, np.nan),
        _carry_forward(matrix(bars["close"], place, shape, np.nan)),
        fillable & ~(opens >= high * (1 - LIMIT_SLACK)),
        fillable & ~(opens <= low * (1 + LIMIT_SLACK)),
    )


def grid(bars: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series, tuple[Any, Any]]:
    """Bars' times (ts_open, ts_close, session_date), instruments, and each row's place among them."""
    times = bars.group_by("ts_open").agg(pl.col("ts_close").max(), pl.col("session_date").first())
    times = times.sort("ts_open")
    instruments = bars["instrument_id"].unique().sort()
    place = (
        times["ts_open"].search_sorted(bars["ts_open"]).to_numpy(),
        instruments.search_sorted(bars["instrument_id"]).to_numpy(),
    )
    return times, instruments, place


def score_matrix(predictions: pl.DataFrame, instruments: pl.Series) -> tuple[NDArray[np.int64], Array]:
    """Scores as ``[D, N]`` (NaN: no score) with the decisions' close times ``[D]`` in microseconds."""
    unknown = sorted(set(predictions["instrument_id"].unique()) - set(instruments))
    if unknown:
        raise DataError(f"predictions for {unknown[:5]} have no bars", hint="build the universe's bars first")
    times = predictions["ts_close"].unique().sort()
    place = (
        times.search_sorted(predictions["ts_close"]).to_numpy(),
        instruments.search_sorted(predictions["instrument_id"]).to_numpy(),
    )
    scores = matrix(predictions["score"], place, (len(times), len(instruments)), np.nan)
    return times.cast(pl.Int64).to_numpy(), scores


def matrix(values: pl.Series, place: tuple[Any, Any], shape: tuple[int, int], default: Any) -> Any:
    """The values at their places in an array of ``shape``, ``default`` where none or null."""
    out = np.full(shape, default)
    out[place] = values.fill_null(default).to_numpy()
    return out


def _carry_forward(values: Array) -> Array:
    known = np.where(np.isfinite(values), np.arange(values.shape[0])[:, None], 0)
    return np.asarray(np.take_along_axis(values, np.maximum.accumulate(known, axis=0), axis=0))
