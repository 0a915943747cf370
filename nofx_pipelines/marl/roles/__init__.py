"""The eight roles, one file each."""

from __future__ import annotations

from nofx_pipelines.marl.roles.arbitrageur import Arbitrageur
from nofx_pipelines.marl.roles.hedger import Hedger
from nofx_pipelines.marl.roles.market_maker import MarketMaker
from nofx_pipelines.marl.roles.mean_reversion import MeanReversion
from nofx_pipelines.marl.roles.portfolio_manager import PortfolioManager
from nofx_pipelines.marl.roles.risk_manager import RiskManager
from nofx_pipelines.marl.roles.role import Role
from nofx_pipelines.marl.roles.sentiment_analyst import SentimentAnalyst
from nofx_pipelines.marl.roles.trend_follower import TrendFollower

ROLES: tuple[Role, ...] = (
    MarketMaker(),
    TrendFollower(),
    MeanReversion(),
    Arbitrageur(),
    Hedger(),
    SentimentAnalyst(),
    PortfolioManager(),
    RiskManager(),
)
