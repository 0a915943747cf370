"""The trading floor: real bars, costs, lots, limits and one liquidity for all agents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nofx_pipelines.marl.panel import MarketPanel
from nofx_pipelines.marl.rewards.protocol import Reward
from nofx_pipelines.marl.roles.role import Role
from nofx_pipelines.marl.trading import CAPITAL, INSTRUMENTS, Draw, TradingEnvironment


@dataclass(frozen=True)
class Trading:
    """Six instruments a copy, a million of the quote currency for each trader."""

    name: str = "trading"
    instruments: int = INSTRUMENTS
    capital: float = CAPITAL

    def environment(
        self,
        panel: MarketPanel,
        *,
        n_envs: int,
        length: int,
        span: tuple[int, int],
        roles: Sequence[Role],
        rewards: Sequence[Reward],
        draw: Draw | None = None,
    ) -> TradingEnvironment:
        """The floor; `Task.environment` says what is asked."""
        return TradingEnvironment(
            panel,
            n_envs=n_envs,
            length=length,
            span=span,
            roles=roles,
            rewards=rewards,
            n_instruments=self.instruments,
            draw=draw,
            capital=self.capital,
        )


TASK = Trading()
