"""Cash and positions of A agents in E copies of a market over N instruments, in float64.

An agent never spends more cash than it has and never sells more than it may: what was bought in a
session of a T+1 market is locked until the next. Short sales happen only where the market allows them
(perpetual contracts), up to the agent's own equity; borrowing costs and funding are left out. An agent
whose equity falls to ``RUIN_SHARE`` of its capital is ruined: it is closed out at the next fills and
stays out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

RUIN_SHARE = 0.1
"""Of the starting capital: an agent at or below it is closed out."""


def fees(values: Tensor, bps: Tensor, minimum: Tensor) -> Tensor:
    """Fee of each trade: its share of the value, at least ``minimum``, never more than the value itself.

    The rule of `nofx_pipelines.evaluation.portfolio_ledger.fees`, on tensors.

    >>> fees(torch.tensor([100.0, 1.0, 0.0]), torch.tensor(10.0), torch.tensor(0.05))
    tensor([0.1000, 0.0500, 0.0000])
    """
    return torch.minimum(torch.maximum(values * bps / 1e4, minimum), values)


def affordable(cash: Tensor, values: Tensor, bps: Tensor, minimum: Tensor) -> Tensor:
    """The share ``[E, A]`` of purchases ``values [E, A, N]`` that ``cash [E, A]`` pays for, fees included.

    >>> affordable(torch.tensor([[50.0]]), torch.tensor([[[60.0, 40.0]]]), torch.zeros(1), torch.zeros(1))
    tensor([[0.5000]])
    """
    wanted = values.sum(-1)
    free = cash - minimum[:, None] * (values > 0).sum(-1)
    share = free / (wanted * (1 + bps[:, None] / 1e4)).clamp(min=1e-300)
    return torch.where(wanted > 0, share, torch.ones_like(share)).clamp(0.0, 1.0)


@dataclass
class Ledger:
    """The accounts; money left them only as ``spent`` (net, at reference prices), ``fees`` and ``impact``.

    At any time ``cash + spent + fees + impact`` is the starting capital.
    """

    capital: Tensor  # [A]
    cash: Tensor  # [E, A]
    units: Tensor  # [E, A, N] negative: sold short
    locked: Tensor  # [E, A, N] bought in this session of a T+1 market
    spent: Tensor  # [E, A] purchases less sales, at the market's price before impact
    fees: Tensor  # [E, A]
    impact: Tensor  # [E, A] paid above, or received below, the market's price
    ruined: Tensor  # [E, A] bool

    @classmethod
    def opening(cls, capital: Tensor, n_envs: int, n_instruments: int) -> Ledger:
        """Every agent holds its ``capital [A]`` in cash."""
        shape = (n_envs, len(capital))
        money = capital.to(torch.float64)
        none = torch.zeros(shape, dtype=torch.float64, device=capital.device)
        held = torch.zeros((*shape, n_instruments), dtype=torch.float64, device=capital.device)
        return cls(
            capital=money,
            cash=money.expand(shape).clone(),
            units=held,
            locked=held.clone(),
            spent=none,
            fees=none.clone(),
            impact=none.clone(),
            ruined=none.bool(),
        )

    def equity(self, prices: Tensor) -> Tensor:
        """Value ``[E, A]`` of cash and positions at ``prices [E, N]``."""
        return self.cash + (self.units * prices[:, None]).sum(-1)

    def sellable(self) -> Tensor:
        """Units ``[E, A, N]`` that may be sold now: held, and not bought in this T+1 session."""
        return (self.units - self.locked).clamp(min=0.0)

    def open_session(self, new: Tensor) -> None:
        """Unlock what was bought before, in the copies ``new [E]`` whose next bar opens a session."""
        self.locked = self.locked * ~new[:, None, None]

    def trade(
        self,
        buys: Tensor,
        sells: Tensor,
        reference: Tensor,
        price: tuple[Tensor, Tensor],
        terms: tuple[Tensor, Tensor, Tensor],
        lock: Tensor,
    ) -> None:
        """Book ``buys`` and ``sells [E, A, N]`` (units, not negative).

        ``reference [E, A, N]`` or broadcastable: the market's price; ``price``: what buyers paid and sellers
        received; ``terms``: buy bps, sell bps and least fee ``[E]``; ``lock [N]``: T+1 instruments.
        """
        paid, received = buys * price[0], sells * price[1]
        buy_bps, sell_bps, minimum = (term[:, None, None] for term in terms)
        fee = (fees(paid, buy_bps, minimum) + fees(received, sell_bps, minimum)).sum(-1)
        net = ((buys - sells) * reference).sum(-1)
        slipped = paid.sum(-1) - received.sum(-1) - net
        self.cash = self.cash - (paid.sum(-1) - received.sum(-1)) - fee
        self.units = self.units + buys - sells
        self.locked = self.locked + buys * lock
        self.spent, self.fees, self.impact = self.spent + net, self.fees + fee, self.impact + slipped

    def find_ruin(self, prices: Tensor) -> None:
        """Mark agents whose equity at ``prices [E, N]`` is down to ``RUIN_SHARE`` of what they began with."""
        low = self.equity(prices) <= RUIN_SHARE * self.capital
        self.ruined = self.ruined | (low & (self.capital > 0))
