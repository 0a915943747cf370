"""What a task is, and the floor that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from nofx_pipelines.marl.environment import Environment
from nofx_pipelines.marl.panel import MarketPanel
from nofx_pipelines.marl.rewards.protocol import Reward
from nofx_pipelines.marl.roles.role import Role
from nofx_pipelines.marl.trading import Draw


class Floor(Environment, Protocol):
    """An environment of discrete actions in which roles have accounts; all copies' episodes end together."""

    @property
    def roles(self) -> tuple[Role, ...]:
        """Of the agents, in their order."""
        ...

    @property
    def capital(self) -> Tensor:
        """What each account begins with, ``[A]`` float64; 0: no account."""
        ...

    @property
    def equity(self) -> Tensor:
        """Value of each account at the last close, ``[E, A]`` float64."""
        ...

    def traded(self) -> Tensor:
        """Value bought and sold in the last bar, ``[E, A]`` float64; 0 after a reset."""
        ...

    def costs(self) -> Tensor:
        """Fees and impact paid since the reset, ``[E, A]`` float64."""
        ...

    def own_returns(self) -> Tensor:
        """Each account's log return in percent since the reset, the mean over copies ``[A]``."""
        ...

    def baseline(self) -> Tensor:
        """The actions of the roles' rules now, ``[E, A]`` int64."""
        ...

    def bars(self) -> Tensor:
        """Each copy's bar, its place in the panel, ``[E]`` int64."""
        ...

    def holdings_without_trade(self) -> tuple[str, ...]:
        """Instruments held that do not trade now."""
        ...


class Task(Protocol):
    """What a team is asked to do on a market's bars."""

    @property
    def name(self) -> str:
        """As messages show it."""
        ...

    @property
    def instruments(self) -> int:
        """Traded in one copy, at most."""
        ...

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
    ) -> Floor:
        """The floor, at the start of an episode.

        Parameters
        ----------
        panel:
            The bars, on the device that the floor steps on.
        n_envs:
            E copies.
        length:
            Steps of an episode.
        span:
            Bars ``[first, end)`` that episodes may see; not asked with ``draw``.
        roles:
            Of the agents, in their order.
        rewards:
            Added up for each agent and bar; none where the floor is judged on, not trained on.
        draw:
            Start at these bars with these instruments at every reset.

        Raises
        ------
        NotEnoughData
            When no episode fits into the span.
        """
        ...
