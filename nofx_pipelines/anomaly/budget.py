"""How loud a bar must be: the alert budget, followed over the sessions just past.

A fixed threshold overshoots its budget several times over on days full of news. So each session's threshold
is what would have kept the budget over the sessions before it, and never below the lowest severity.
"""

from __future__ import annotations

import math

import polars as pl

LOWEST = 3.0
"""-log10 p of the lowest severity: nothing below it is called an anomaly."""
TRAILING = 60
"""Sessions before each one that its threshold is taken from."""
_ENOUGH = 100
"""Instrument-sessions below which the budget says nothing yet."""


def thresholds(max_scores: pl.DataFrame, budget: float, bars: int) -> pl.DataFrame:
    """-log10 p that a bar of each session must reach for an alert.

    ``max_scores``: session_date, instrument_id, score (the largest of the session). ``budget``: alerts that
    an instrument may have in a session, on average; ``bars``: bars of a session, which say what keeps it as
    long as little is past. Returns session_date and threshold; a session's own scores have no part in it.

    >>> from datetime import date
    >>> days = [date(2024, 1, d) for d in (1, 2) for _ in range(200)]
    >>> rows = {"session_date": days, "instrument_id": ["A"] * 400, "score": [k / 20 for k in range(200)] * 2}
    >>> thresholds(pl.DataFrame(rows), budget=0.05, bars=1)["threshold"].to_list()
    [3.0, 9.45]
    """
    by_session = (
        max_scores.drop_nulls("score")
        .group_by("session_date")
        .agg(pl.col("score").sort())
        .sort("session_date")
    )
    days, scores = by_session["session_date"].to_list(), by_session["score"].to_list()
    found = []
    for k in range(len(days)):
        past = pl.Series(
            [score for day in scores[max(0, k - TRAILING) : k] for score in day], dtype=pl.Float64
        )
        kept = past.quantile(1 - budget, interpolation="nearest") if len(past) >= _ENOUGH else None
        found.append(max(LOWEST, math.log10(max(bars, 1) / budget) if kept is None else kept))
    schema = {"session_date": pl.Date, "threshold": pl.Float64}
    return pl.DataFrame({"session_date": days, "threshold": found}, schema=schema)
