"""Cash, positions and fees of one long-only portfolio, in float64 and in units of its starting equity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

TARGET_TOLERANCE = 1e-9
FILLED_SHARE = 0.99
"""A buy that lack of cash cut to less than this share stays open and is topped up at later bars."""


class Costs(Protocol):
    """What a trade costs: basis points of its value, at least ``minimum`` in the quote currency."""

    @property
    def buy_bps(self) -> float: ...
    @property
    def sell_bps(self) -> float: ...
    @property
    def minimum(self) -> float: ...


CostRule = Costs | Callable[[date], Costs]
"""One schedule, or the schedule of a session date (fees change by decree)."""


def fees(values: Array, bps: float, minimum: float) -> Array:
    """Fee of each trade: its share of the value, at least ``minimum``, never more than the value itself.

    >>> fees(np.array([100.0, 1.0, 0.0]), 10.0, 0.05)
    array([0.1 , 0.05, 0.  ])
    """
    return np.asarray(np.where(values > 0, np.minimum(np.maximum(values * bps / 1e4, minimum), values), 0.0))


@dataclass(frozen=True)
class Fill:
    """What one bar's orders came to: value traded (bought plus sold) and fees."""

    traded: float
    cost: float


@dataclass
class Ledger:
    """The state of one portfolio; it starts with 1 in cash."""

    cash: float
    units: Array  # [N]
    filled: Array  # [N] target weight that the last order was for, NaN while it is open

    @classmethod
    def opening(cls, instruments: int) -> Ledger:
        """All cash: equity 1."""
        return cls(1.0, np.zeros(instruments), np.zeros(instruments))

    def equity(self, prices: Array) -> float:
        """Value of cash and positions at ``prices [N]``."""
        return self.cash + float(np.sum(self.units * prices))

    def rebalance(
        self, want: Array, prices: Array, can_buy: Flags, can_sell: Flags, costs: Costs, minimum: float
    ) -> Fill:
        """Trade the instruments whose target weight changed, sells first, buys within the cash at hand.

        ``prices [N]`` are fill prices where an instrument trades and its last close elsewhere; ``minimum``
        is the smallest fee in units of the starting equity.
        """
        changed = ~(np.abs(want - self.filled) <= TARGET_TOLERANCE)
        if not changed.any():
            return Fill(0.0, 0.0)
        held = self.units * prices
        order = np.where(changed, want * self.equity(prices) - held, 0.0)
        done = changed & np.where(order > 0, can_buy, can_sell)
        sells = np.where(done, np.minimum(np.maximum(-order, 0.0), held), 0.0)
        buys = np.where(done, np.maximum(order, 0.0), 0.0)
        sell_fees = fees(sells, costs.sell_bps, minimum).sum()
        share = self._affordable(buys, float(sells.sum() - sell_fees), costs.buy_bps, minimum)
        buys *= share
        cost = float(sell_fees + fees(buys, costs.buy_bps, minimum).sum())
        self.cash += float(sells.sum() - buys.sum()) - cost
        self.units += np.divide(buys - sells, prices, out=np.zeros_like(prices), where=done)
        self.units[done & (want == 0.0)] = 0.0
        complete = (order <= 0) | (share >= FILLED_SHARE)
        self.filled[done] = np.where(complete, want, np.nan)[done]
        return Fill(float(buys.sum() + sells.sum()), cost)

    def _affordable(self, buys: Array, proceeds: float, bps: float, minimum: float) -> float:
        """Share of the buys that cash and ``proceeds`` pay for, fees included."""
        wanted = float(buys.sum())
        if wanted == 0.0:
            return 1.0
        cash = self.cash + proceeds - minimum * int(np.count_nonzero(buys))
        return min(1.0, max(0.0, cash / (wanted * (1.0 + bps / 1e4))))
