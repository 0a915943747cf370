"""Bars as a cube of sessions, slots of the day and instruments, which is how detectors read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.errors import DataError

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

FREQ_US = {
    "1m": 60_000_000,
    "5m": 300_000_000,
    "15m": 900_000_000,
    "30m": 1_800_000_000,
    "1h": 3_600_000_000,
}
COLUMNS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "amount",
    "n_trades",
    "limit_up",
    "limit_down",
)
"""What a panel holds of each traded bar, Float64, NaN where null."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Bars of whole sessions; every array is ``[S, B, N]``: sessions, slots of the day, instruments.

    A slot is a fixed piece of the clock, so the same time of day has the same distance to its
    neighbours whichever sessions were read. Daily bars have one slot.
    """

    sessions: tuple[date, ...]
    instruments: tuple[str, ...]
    first_slot: int
    values: dict[str, Floats]
    """By column of ``COLUMNS``; NaN where nothing traded."""
    traded: Bools
    hole: Bools
    """Bars that the calendar expects and no source has, without a known reason."""
    refused: Bools
    """Bars that a source has and the checks did not let in."""
    rows: pl.DataFrame
    """instrument_id, ts_close, session_date of every bar read."""
    at: tuple[Ints, Ints, Ints]
    """Session, slot and instrument of each of ``rows``."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sessions, slots, instruments."""
        return (len(self.sessions), self.traded.shape[1], len(self.instruments))

    def gather(self, cube: Floats) -> Floats:
        """The value of each of ``rows`` in ``cube`` ``[S, B, N]``."""
        return cube[self.at]


def read_panel(bars: pl.DataFrame, freq: str) -> Panel:
    """The panel of ``bars`` (table bars, adjusted), all rows of them.

    Raises DataError when two bars of an instrument share a slot.
    """
    rows = bars.sort("instrument_id", "ts_open")
    sessions = rows["session_date"].unique().sort()
    instruments = rows["instrument_id"].unique().sort()
    slots = _slots(rows, freq)
    first = int(slots.min()) if len(slots) else 0
    at = (
        sessions.search_sorted(rows["session_date"]).to_numpy().astype(np.int64),
        slots - first,
        instruments.search_sorted(rows["instrument_id"]).to_numpy().astype(np.int64),
    )
    shape = (len(sessions), int(slots.max()) - first + 1 if len(slots) else 0, len(instruments))
    _require_single(rows, at, shape)
    traded, absent = rows["status"] == "traded", rows["status"] == "source_hole"
    refused = rows["quality"].list.contains("quarantined").fill_null(False)
    return Panel(
        sessions=tuple(sessions.to_list()),
        instruments=tuple(instruments.to_list()),
        first_slot=first,
        values={name: _cube(rows[name], traded, at, shape) for name in COLUMNS},
        traded=_flags(traded, at, shape),
        hole=_flags(absent & ~refused, at, shape),
        refused=_flags(absent & refused, at, shape),
        rows=rows.select("instrument_id", "ts_close", "session_date"),
        at=at,
    )


def _slots(rows: pl.DataFrame, freq: str) -> Ints:
    """The number of each bar's slot, counted from midnight (UTC) of its session's date."""
    if freq == "1d":
        return np.zeros(rows.height, dtype=np.int64)
    midnight = rows["session_date"].cast(pl.Datetime("us")).dt.epoch("us").to_numpy()
    opened = rows["ts_open"].dt.epoch("us").to_numpy()
    return np.asarray((opened - midnight) // FREQ_US[freq], dtype=np.int64)


def _require_single(rows: pl.DataFrame, at: tuple[Ints, Ints, Ints], shape: tuple[int, int, int]) -> None:
    if not rows.height:
        return
    places = np.sort(np.ravel_multi_index(at, shape))
    again = np.flatnonzero(places[1:] == places[:-1])
    if len(again):
        s, _, n = np.unravel_index(places[again[0]], shape)
        day, name = (
            rows["session_date"].unique().sort()[int(s)],
            rows["instrument_id"].unique().sort()[int(n)],
        )
        raise DataError(
            f"{name} has two bars in one slot of {day}",
            kept="no anomaly was looked for",
            hint=f"nofx sql \"select * from bars where instrument_id = '{name}'\"",
        )


def _cube(
    column: pl.Series, traded: pl.Series, at: tuple[Ints, Ints, Ints], shape: tuple[int, int, int]
) -> Floats:
    cube = np.full(shape, np.nan)
    values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    cube[at] = np.where(traded.to_numpy() & np.isfinite(values), values, np.nan)
    return cube


def _flags(flags: pl.Series, at: tuple[Ints, Ints, Ints], shape: tuple[int, int, int]) -> Bools:
    cube = np.zeros(shape, dtype=np.bool_)
    cube[at] = flags.to_numpy()
    return cube
