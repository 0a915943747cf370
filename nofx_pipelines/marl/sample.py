"""A small made-up market, for trying a role, a task, a reward or an algorithm on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.market.rules import LotRule, costs
from nofx_pipelines.marl.panel import MarketPanel, Terms, build_panel


def sample_bars(n: int = 6, sessions: int = 160, seed: int = 1, **changed: Any) -> pl.DataFrame:
    """Random daily bars of ``n`` A-shares with trading volume; ``changed`` replaces columns by expressions.

    >>> sample_bars(n=2, sessions=3).height
    6
    """
    rng = np.random.default_rng(seed)
    days = [date(2024, 1, 1) + timedelta(days=d) for d in range(sessions)]
    frames = []
    for i in range(n):
        close = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, sessions)))
        opened = close * np.exp(rng.normal(0, 0.005, sessions))
        opens = [datetime(d.year, d.month, d.day, 1, 30, tzinfo=UTC) for d in days]
        frames.append(
            pl.DataFrame(
                {
                    "instrument_id": [f"CN.SSE.{600000 + i}"] * sessions,
                    "ts_open": opens,
                    "ts_close": [at + timedelta(hours=5, minutes=30) for at in opens],
                    "session_date": days,
                    "open": opened,
                    "high": np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, 0.01, sessions))),
                    "low": np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, 0.01, sessions))),
                    "close": close,
                    "volume": rng.uniform(1e6, 5e6, sessions) * (n - i),
                    "status": ["traded"] * sessions,
                    "limit_up": [None] * sessions,
                    "limit_down": [None] * sessions,
                },
                schema_overrides={"limit_up": pl.Float64, "limit_down": pl.Float64},
            )
        )
    return pl.concat(frames).with_columns(**changed)


def sample_terms(instruments: int = 20, **changed: Any) -> Terms:
    """The dated terms of the Shanghai main board; ``changed`` replaces fields of `Terms`."""
    board = Terms(
        costs=lambda day: costs("cn", "main", day),
        lots={f"CN.SSE.{600000 + i}": LotRule(100, 100) for i in range(instruments)},
        ticks=lambda name, day, prices: np.full_like(prices, 0.01),
        t_plus_one=True,
        shortable=False,
    )
    return replace(board, **changed)


def sample_panel(bars: pl.DataFrame | None = None, **changed: Any) -> MarketPanel:
    """The bars as a panel, those of `sample_bars` unless given; ``changed`` replaces fields of `Terms`.

    >>> len(sample_panel().instruments)
    6
    """
    bars = sample_bars() if bars is None else bars
    names = bars["instrument_id"].unique().sort().to_list()
    return build_panel(bars, pl.Series([1.0] * bars.height), names, sample_terms(**changed))
