"""Bars and orders for tests of the market, one number at a time."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.marl.ledger import Ledger
from nofx_pipelines.marl.market import Bar, Orders
from nofx_pipelines.marl.panel import MarketPanel
from nofx_pipelines.marl.roles.sample import sample_outcome, sample_view
from nofx_pipelines.marl.sample import sample_bars, sample_panel, sample_terms
from nofx_pipelines.marl.scenario import open_scenario
from nofx_pipelines.marl.trading import TradingEnvironment

F64 = torch.float64
SCENARIO = open_scenario(MarlConfig())
ROLES = SCENARIO.roles
market_bars, terms, panel, view, outcome = (
    sample_bars,
    sample_terms,
    sample_panel,
    sample_view,
    sample_outcome,
)


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


def trading_floor(world: MarketPanel, **options: Any) -> TradingEnvironment:
    """The default team's floor, that of `options` where given."""
    return TradingEnvironment(world, **{"roles": ROLES, "rewards": SCENARIO.rewards} | options)


def write_member(folder: Path, text: str, stem: str = "mine") -> Path:
    """A plug-in's file, from indented text; the folder."""
    folder.mkdir(exist_ok=True)
    (folder / f"{stem}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    return folder
