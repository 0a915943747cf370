"""What sets the three simulated markets apart: volatility, factors, prices, lots, liquidity, the day's shape.

Numbers were chosen so that the bars fall into the bands of ``facts.BANDS``, which come from real files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DayShape:
    """How volume spreads over a session's trading minutes.

    Equity: weight 1 + opening·exp(-t / 20) + closing·exp(-(T - t) / 15), t in trading minutes.
    Round the clock: weight exp(swing·cos(2 pi (hour - peak_hour) / 24)), hours in UTC.
    Volatility follows the square root of the weight.
    """

    opening: float = 0.0
    closing: float = 0.0
    swing: float = 0.0
    peak_hour: float = 14.0


@dataclass(frozen=True)
class VolatilityModel:
    """Stochastic volatility: log-AR(1) states of market, sectors and instruments, a step a session.

    ``*_persistence`` is the AR coefficient, ``*_spread`` the stationary standard deviation of the log.
    Within the day two faster states are added, with half-lives of 4 and 90 minutes.
    """

    market_persistence: float = 0.975
    market_spread: float = 0.38
    own_persistence: float = 0.95
    own_spread: float = 0.20
    sector_persistence: float = 0.96
    sector_spread: float = 0.20
    fast_spread: float = 0.40
    slow_spread: float = 0.45
    common_df: float = 5.0
    """Degrees of freedom of daily market and sector innovations."""
    own_df: float = 30.0
    """Of daily idiosyncratic ones."""
    minute_df: float = 4.5


@dataclass(frozen=True)
class MarketModel:
    """One market's parameters; shares are shares of a bar's variance."""

    market: Literal["cn", "hk", "crypto"]
    currency: str
    daily_volatility: float
    market_share: float
    sector_share: float
    sectors: tuple[str, ...]
    overnight_share: float
    """Of a session's variance, in the first intraday bar."""
    bounce: float
    """Half spread of intraday prints, in units of the daily volatility."""
    drift: float
    """Log drift of the market factor a year of 250 sessions (365 for crypto)."""
    news_rate: float
    """Probability of an idiosyncratic jump an instrument and session."""
    news_up: float
    """Probability that a jump goes up."""
    news_size: float
    """Mean size of a jump, log return."""
    price_range: tuple[float, float]
    turnover: tuple[float, float]
    """Range of the daily amount in the quote currency."""
    mean_trade: float
    """Quote currency an average trade."""
    suspension_rate: float
    dividend_rate: float
    bonus_rate: float
    shape: DayShape
    volatility: VolatilityModel
    round_the_clock: bool = False

    @property
    def own_share(self) -> float:
        """The idiosyncratic share of variance."""
        return 1.0 - self.market_share - self.sector_share


_EQUITY_SECTORS = ("banks", "consumer", "health", "industrials", "technology")

MODELS: dict[str, MarketModel] = {
    "cn": MarketModel(
        market="cn",
        currency="CNY",
        daily_volatility=0.021,
        market_share=0.25,
        sector_share=0.22,
        sectors=_EQUITY_SECTORS,
        overnight_share=0.16,
        bounce=0.01,
        drift=0.2,
        news_rate=0.012,
        news_up=0.82,
        news_size=0.07,
        price_range=(6.0, 90.0),
        turnover=(8e7, 3e9),
        mean_trade=25_000.0,
        suspension_rate=0.0006,
        dividend_rate=1 / 250,
        bonus_rate=0.06 / 250,
        shape=DayShape(opening=2.6, closing=1.4),
        volatility=VolatilityModel(fast_spread=0.55),
    ),
    "hk": MarketModel(
        market="hk",
        currency="HKD",
        daily_volatility=0.028,
        market_share=0.25,
        sector_share=0.20,
        sectors=_EQUITY_SECTORS,
        overnight_share=0.18,
        bounce=0.010,
        drift=0.25,
        news_rate=0.005,
        news_up=0.5,
        news_size=0.06,
        price_range=(8.0, 400.0),
        turnover=(5e7, 4e9),
        mean_trade=40_000.0,
        suspension_rate=0.0,
        dividend_rate=2 / 250,
        bonus_rate=0.03 / 250,
        shape=DayShape(opening=2.5, closing=0.87),
        volatility=VolatilityModel(fast_spread=0.55, slow_spread=0.45),
    ),
    "crypto": MarketModel(
        market="crypto",
        currency="USDT",
        daily_volatility=0.045,
        market_share=0.63,
        sector_share=0.08,
        sectors=("defi", "infrastructure", "layer-1", "layer-2", "payments"),
        overnight_share=0.0,
        bounce=0.002,
        drift=0.5,
        news_rate=0.005,
        news_up=0.5,
        news_size=0.07,
        price_range=(0.05, 40_000.0),
        turnover=(5e6, 2e9),
        mean_trade=900.0,
        suspension_rate=0.0,
        dividend_rate=0.0,
        bonus_rate=0.0,
        shape=DayShape(swing=0.565),
        volatility=VolatilityModel(market_spread=0.36, common_df=6.0, slow_spread=0.6, fast_spread=0.45),
        round_the_clock=True,
    ),
}
"""The three markets."""
