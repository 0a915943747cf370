"""What a format means: which column is what, which end of the bar a label names, which units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from nofx_pipelines.market.sources.files.symbols import UNKNOWN_EXCHANGE

Labels = Literal["start", "end", "session", "both"]
"""A row's time names the bar's start, its end, its session's date, or both ends stand in the file."""

NUMBERS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "amount",
    "n_trades",
    "taker_volume",
    "taker_amount",
    "prev_close",
    "limit_up",
    "limit_down",
)
REQUIRED = ("open", "high", "low", "close", "volume")
TEXTS = ("status", "price_basis", "session_phase", "freq")
ACTION_COUNTS = ("countAsGift", "countOfIncreasement", "countForSell", "priceForSell", "bonus")
"""Of corporate actions: hikyuu's numbers per ten shares, in place of a kind with its ratio and cash."""
ACTION_VALUES = ("kind", "ratio", "cash", "currency", "announced_on")


@dataclass(frozen=True)
class Units:
    """Shares a unit of volume, and quote currency a unit of amount."""

    volume: float = 1.0
    amount: float = 1.0

    @property
    def k(self) -> float:
        """What ``amount / volume / price`` shows in these units."""
        return self.volume / self.amount


@dataclass(frozen=True)
class Layout:
    """One format, applied to one file's columns.

    ``columns`` maps ours (``symbol``, ``label``, ``ts_close``, the numbers and texts) to the file's;
    ``label`` is the column of times. Of corporate actions: ``symbol``, ``label`` (the ex date), and
    ``ACTION_COUNTS`` or ``ACTION_VALUES``.
    """

    format: str
    columns: Mapping[str, str]
    kind: Literal["bars", "actions"] = "bars"
    labels: Labels | None = None
    """``None``: the file does not say, its rows decide."""
    labels_default: Labels = "start"
    naive_zone: Literal["exchange", "UTC"] | None = "exchange"
    """The zone of times without one; ``None``: the rows decide."""
    price_basis: str = "unadjusted"
    basis_from_ticks: bool = False
    """Prices off the exchange's tick show that they are adjusted."""
    units: Units = field(default_factory=Units)
    units_documented: bool = True
    exchange: str = UNKNOWN_EXCHANGE
    crypto_kind: str = "SPOT"
    prev_close: Literal["row", "first_bar"] = "row"
    """``first_bar``: the column holds the last bar's close, the session's first row the session's."""
    knowledge_lag: timedelta = timedelta(0)
    notes: tuple[tuple[str, str, str], ...] = ()
    """Further decisions: matter, value, evidence."""

    @property
    def counts_per_ten(self) -> bool:
        """Whether its corporate actions are hikyuu's counts per ten shares."""
        return set(ACTION_COUNTS) <= set(self.columns)
