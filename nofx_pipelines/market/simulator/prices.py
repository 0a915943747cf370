"""Ticks and daily price limits as exchanges round them."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.market.rules import TickTable, price_limits, tick_table
from nofx_pipelines.market.simulator.roster import Roster

Floats = np.ndarray[Any, np.dtype[np.float64]]

_THOUSAND = 1000.0


class Ticks:
    """Rounds prices of one market to the tick in force: fixed an instrument, or by price band."""

    def __init__(self, market: str, roster: Roster) -> None:
        self._banded = market == "hk"
        self._per_unit = np.round(1.0 / roster.tick, 9)
        self._table: TickTable | None = None

    def on(self, session: date) -> Ticks:
        """The ticks of a session."""
        if self._banded:
            self._table = _hk_table(session)
        return self

    def nearest(self, price: Floats) -> Floats:
        """The nearest price on the grid, at least one tick, as the double nearest to its decimal form."""
        return self._rounded(price, partial(np.round))

    def below(self, price: Floats) -> Floats:
        """The next price on the grid at or below."""
        return self._rounded(price, lambda x: np.floor(x + 1e-7))

    def above(self, price: Floats) -> Floats:
        """The next price on the grid at or above."""
        return self._rounded(price, lambda x: np.ceil(x - 1e-7))

    def _rounded(self, price: Floats, how: Any) -> Floats:
        if self._table is None:
            per_unit = self._per_unit
            whole = np.maximum(how(price * per_unit), 1.0)
            return np.asarray(np.where(per_unit >= 1, whole / per_unit, whole * np.round(1 / self._per_unit)))
        price = np.minimum(price, self._table.up_to[-1])
        tick = self._table.tick(price)
        steps = np.maximum(how(price / tick), 1.0)
        return np.asarray(steps * np.round(tick * _THOUSAND) / _THOUSAND)


def limit_shares(roster: Roster, sessions: list[date]) -> Floats:
    """Limits in thousandths of the previous close, ``[D, N]`` sessions by instruments, NaN where none.

    Taken from the dated rule table, first days without a limit included.
    """
    days = len(sessions)
    frame = pl.DataFrame(
        {
            "exchange": list(roster.exchanges) * days,
            "board": list(roster.boards) * days,
            "session_date": np.repeat(np.asarray(sessions, dtype="datetime64[D]"), roster.count),
            "prev_close": np.full(days * roster.count, _THOUSAND),
            "listed_sessions": _listed_sessions(roster, days),
        }
    )
    up = price_limits(frame)["limit_up"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return np.asarray(up.reshape(days, roster.count) - _THOUSAND)


def limits(reference: Floats, per_mille: Floats) -> tuple[Floats, Floats]:
    """Upper and lower limit in CNY, half-up to a fen; NaN where there is none.

    >>> limits(np.array([10.05]), np.array([100.0]))
    (array([11.06]), array([9.05]))
    """
    fen = np.round(half_up(reference) * 100)
    up = np.floor((fen * (1000 + per_mille) + 500) / 1000)
    down = np.floor((fen * (1000 - per_mille) + 500) / 1000)
    return up / 100, np.maximum(down, 1.0) / 100


def half_up(reference: Floats) -> Floats:
    """A reference price as an A-share exchange announces it: to the fen, a half going up."""
    return np.asarray(np.floor(reference * 100 + 0.5) / 100)


def _listed_sessions(roster: Roster, days: int) -> pl.Series:
    """Sessions since the listing; null for instruments listed before the start."""
    since = np.arange(days)[:, None] - roster.listed_after[None, :]
    late = np.broadcast_to(roster.listed_after > 0, since.shape)
    values = pl.Series(since.ravel(), dtype=pl.Int64)
    return pl.select(pl.when(pl.Series(late.ravel())).then(values).otherwise(None)).to_series()


def _hk_table(session: date) -> TickTable:
    return _HK_TABLES.setdefault(session, tick_table("hk", "main", session))


_HK_TABLES: dict[date, TickTable] = {}
