"""Bars and orders for tests of the market, one number at a time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from nofx_pipelines.market.rules import LotRule, costs
from nofx_pipelines.marl.features import ASSET_FEATURES, MARKET_FEATURES
from nofx_pipelines.marl.ledger import Ledger
from nofx_pipelines.marl.market import Bar, Orders
from nofx_pipelines.marl.panel import MarketPanel, Terms, build_panel
from nofx_pipelines.marl.roles.role import Outcome, View

F64 = torch.float64


def bar(n_envs: int = 1, n: int = 1, **given: Any) -> Bar:
    """A quiet bar at 10 with a million units of volume, no fees, no impact, lots of one."""
    names = {
        "open": 10.0,
        "high": 10.5,
        "low": 9.5,
        "volume": 1e6,
        "limit_up": torch.inf,
        "limit_down": 0.0,
        "least": 1.0,
        "step": 1.0,
        "sigma": 0.0,
        "adv": 1e6,
    }
    terms = {"buy_bps": 0.0, "sell_bps": 0.0, "minimum": 0.0}
    flags = {"can_buy": True, "can_sell": True}
    per_name = {"lock": False, "shortable": False}
    values = names | terms | flags | per_name | given

    def filled(name: str) -> Tensor:
        shape = (n_envs,) if name in terms else (n,) if name in per_name else (n_envs, n)
        kind = torch.bool if name in flags | per_name else F64
        return torch.as_tensor(values[name], dtype=kind).expand(shape).clone()

    return Bar(**{name: filled(name) for name in values})


def orders(n_envs: int = 1, agents: int = 1, n: int = 1, **given: Any) -> Orders:
    """No orders but those given; anything that expands to [E, A, N]."""
    shape = (n_envs, agents, n)
    names = ("market", "bid", "bid_price", "ask", "ask_price")
    return Orders(
        **{name: torch.as_tensor(given.get(name, 0.0), dtype=F64).expand(shape).clone() for name in names}
    )


def ledger(cash: float = 10_000.0, n_envs: int = 1, agents: int = 1, n: int = 1) -> Ledger:
    return Ledger.opening(torch.full((agents,), cash, dtype=F64), n_envs, n)


def market_bars(n: int = 6, sessions: int = 160, seed: int = 1, **changed: Any) -> pl.DataFrame:
    """Random daily bars of ``n`` instruments, A-share-like; ``changed`` replaces columns by expressions."""
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


def terms(**changed: Any) -> Terms:
    """An A-share main board's, dated."""
    given = {
        "costs": lambda day: costs("cn", "main", day),
        "lots": {f"CN.SSE.{600000 + i}": LotRule(100, 100) for i in range(20)},
        "ticks": lambda name, day, prices: np.full_like(prices, 0.01),
        "t_plus_one": True,
        "shortable": False,
    }
    return Terms(**given | changed)


def panel(bars: pl.DataFrame | None = None, **changed: Any) -> MarketPanel:
    bars = market_bars() if bars is None else bars
    names = bars["instrument_id"].unique().sort().to_list()
    return build_panel(bars, pl.Series([1.0] * bars.height), names, terms(**changed))


def view(n_envs: int = 1, agents: int = 8, n: int = 3, **given: Any) -> View:
    """A calm close: nothing held, everything allowed; features are given by name as [E, N] or [E]."""
    features = torch.zeros(n_envs, n, len(ASSET_FEATURES))
    indicators = torch.zeros(n_envs, len(MARKET_FEATURES))
    for place, name in enumerate(ASSET_FEATURES):
        if name in given:
            features[..., place] = torch.as_tensor(given.pop(name))
    for place, name in enumerate(MARKET_FEATURES):
        if name in given:
            indicators[:, place] = torch.as_tensor(given.pop(name))
    shapes = {
        "price": (n_envs, n),
        "sigma": (n_envs, n),
        "tick": (n_envs, n),
        "weights": (n_envs, agents, n),
        "sellable": (n_envs, agents, n),
        "growth": (n_envs, agents),
        "drawdown": (n_envs, agents),
        "recent": (n_envs, agents, 20),
        "budget": (n_envs, agents),
        "cap": (n_envs,),
        "team_weights": (n_envs, n),
        "team_drawdown": (n_envs,),
        "team_recent": (n_envs, 20),
        "ruined": (n_envs, agents),
        "shortable": (n,),
        "traders": (agents,),
        "age": (n_envs,),
    }
    defaults = {"price": 10.0, "sigma": 0.02, "tick": 0.01, "budget": 1.0, "cap": 1.0}
    kinds = {"ruined": torch.bool, "shortable": torch.bool, "traders": torch.bool, "age": torch.int64}
    traders = torch.tensor([True] * 6 + [False] * 2)[:agents]
    values = defaults | {"traders": traders} | given
    filled = {
        name: torch.as_tensor(values.get(name, 0), dtype=kinds.get(name, F64)).expand(shape).clone()
        for name, shape in shapes.items()
    }
    return View(features=features, indicators=indicators, **filled)


def outcome(n_envs: int = 1, agents: int = 8, n: int = 3, **given: Any) -> Outcome:
    """A bar on which nothing happened but what is given."""
    shapes = {
        "own": (n_envs, agents),
        "team": (n_envs,),
        "index": (n_envs,),
        "assets": (n_envs, n),
        "weights": (n_envs, agents, n),
        "betas": (n_envs, n),
        "share": (n_envs, agents),
        "drawdown": (n_envs,),
        "deeper": (n_envs,),
    }
    return Outcome(
        **{
            name: torch.as_tensor(given.get(name, 0.0), dtype=F64).expand(shape).clone()
            for name, shape in shapes.items()
        }
    )
