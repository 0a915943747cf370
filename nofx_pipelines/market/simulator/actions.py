"""Dividends, bonus issues and suspensions of the simulated markets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, TypedDict

import numpy as np
import polars as pl

from nofx_pipelines.lake.schemas import CORPORATE_ACTIONS
from nofx_pipelines.market.simulator.models import MarketModel
from nofx_pipelines.market.simulator.randomness import Streams

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

NOTICE_DAYS = 10
"""Days between announcement and ex date."""
_BONUS_RATIOS = (0.2, 0.3, 0.5, 1.0)


class ActionRow(TypedDict):
    """One row of ``CORPORATE_ACTIONS`` before it gets its source and knowledge time."""

    instrument_id: str
    ex_date: date
    kind: str
    ratio: float | None
    cash: float | None


@dataclass(frozen=True)
class SessionActions:
    """What takes effect at a session's open, one entry an instrument."""

    cash: Floats
    """Dividend a share, in the quote currency."""
    bonus: Floats
    """New shares for each old one."""
    suspended_for: Ints
    """Sessions of a suspension that starts now, else 0."""


def draw_actions(
    model: MarketModel, streams: Streams, session: date, close: Floats, known: Bools, decimals: int
) -> SessionActions:
    """Draw a session's actions; ``close`` is the last unadjusted close, ``known`` who can have any."""
    random = streams.of("actions", session)
    dividend, paid, bonus, which, halted, length = random.random((6, len(close)))
    pays = known & (dividend < model.dividend_rate)
    cash = np.where(pays, np.round(close * (0.005 + 0.02 * paid), decimals), 0.0)
    ratios = np.asarray(_BONUS_RATIOS)[(which * len(_BONUS_RATIOS)).astype(np.int64)]
    stops = known & (halted < model.suspension_rate)
    return SessionActions(
        cash=cash,
        bonus=np.where(known & (bonus < model.bonus_rate), ratios, 0.0),
        suspended_for=np.where(stops, 2 + (length * 12).astype(np.int64), 0),
    )


def ex_reference(close: Floats, cash: Floats, bonus: Floats) -> Floats:
    """The exchange's reference price on an ex date: (close - cash) / (1 + bonus).

    >>> ex_reference(np.array([10.0]), np.array([0.4]), np.array([0.2]))
    array([8.])
    """
    return np.asarray((close - cash) / (1.0 + bonus))


def action_rows(ids: tuple[str, ...], session: date, cash: Floats, bonus: Floats) -> list[ActionRow]:
    """Table rows of what took effect."""
    rows: list[ActionRow] = []
    for i in np.flatnonzero((cash > 0) | (bonus > 0)):
        if cash[i] > 0:
            rows.append(_row(ids[i], session, "dividend", None, float(cash[i])))
        if bonus[i] > 0:
            rows.append(_row(ids[i], session, "bonus", float(bonus[i]), None))
    return rows


def actions_frame(rows: list[ActionRow], *, currency: str, source: str) -> pl.DataFrame:
    """``CORPORATE_ACTIONS``; known since the midnight (UTC) of the announcement, ten days ahead."""
    frame = pl.DataFrame(
        rows,
        schema={
            name: CORPORATE_ACTIONS.columns[name]
            for name in ("instrument_id", "ex_date", "kind", "ratio", "cash")
        },
    )
    told = pl.col("ex_date") - timedelta(days=NOTICE_DAYS)
    return frame.with_columns(
        pl.lit(currency).alias("currency"),
        told.alias("announced_on"),
        pl.lit(source).alias("source"),
        told.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("knowledge_time"),
    ).select(pl.col(name).cast(dtype) for name, dtype in CORPORATE_ACTIONS.columns.items())


def _row(instrument_id: str, ex_date: date, kind: str, ratio: float | None, cash: float | None) -> ActionRow:
    return ActionRow(instrument_id=instrument_id, ex_date=ex_date, kind=kind, ratio=ratio, cash=cash)
