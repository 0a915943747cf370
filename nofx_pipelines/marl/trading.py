"""The trading floor: a team of roles in E copies of a window of real bars, stepped together.

Each copy draws a window and N instruments of the pool. At the close of bar t everyone decides at once; the
managers' limits apply to the same orders; orders meet bar t+1. Traders have an account each, managers have
none. The copies' episodes end together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from nofx_pipelines.errors import ModelError, NotEnoughData
from nofx_pipelines.marl.environment import Step
from nofx_pipelines.marl.features import ASSET_FEATURES, MARKET_FEATURES, WARM_UP
from nofx_pipelines.marl.ledger import Ledger
from nofx_pipelines.marl.market import Bar, Fills, Orders, execute
from nofx_pipelines.marl.panel import MarketPanel
from nofx_pipelines.marl.rewards.protocol import Reward
from nofx_pipelines.marl.roles.role import Decision, Outcome, Role, View

CAPITAL = 1_000_000.0
"""Of each trader, in the quote currency."""
INSTRUMENTS = 6
"""Traded in one copy, at most."""
RECENT = 20
"""Bars of past returns that managers see."""
PEAK = 60
"""Bars over which growth and drawdowns are measured: an old fall does not bind for ever."""
_BAND = 0.01
"""A change of weight below it is not traded, unless it ends the position."""
_CAP_SLACK = 1.05
"""An exposure this much above its limit is cut."""

_COLUMNS = (
    "open",
    "high",
    "low",
    "volume",
    "can_buy",
    "can_sell",
    "limit_up",
    "limit_down",
    "least",
    "step",
    "mark",
    "tick",
    "sigma",
    "adv",
)


@dataclass(frozen=True)
class Draw:
    """Which window and which instruments each copy trades."""

    start: Tensor  # [E] first bar that is seen
    pick: Tensor  # [E, N] places in the pool


class TradingEnvironment:
    """A `tasks.protocol.Floor` over ``panel``; observations float32, money float64.

    Parameters
    ----------
    panel:
        The bars, on the device that the floor steps on.
    n_envs:
        E copies.
    length:
        Bars of an episode.
    span:
        Bars ``[first, end)`` that episodes may see; before ``first`` there must be ``WARM_UP`` bars, or
        episodes start later.
    roles:
        Of the agents, in their order.
    rewards:
        Added up for each agent and bar; none: nobody is paid.
    n_instruments:
        N, traded in one copy, at most.
    draw:
        These windows and instruments at every reset instead of random ones.
    capital:
        Of each trader, in the quote currency.

    Raises
    ------
    NotEnoughData
        When no window fits.
    ModelError
        For an illegal action, and after the last step.
    """

    discrete = True

    def __init__(
        self,
        panel: MarketPanel,
        *,
        n_envs: int,
        length: int,
        span: tuple[int, int],
        roles: Sequence[Role],
        rewards: Sequence[Reward],
        n_instruments: int = INSTRUMENTS,
        draw: Draw | None = None,
        capital: float = CAPITAL,
    ) -> None:
        self.panel, self.length, self.n_envs = panel, length, n_envs
        self.roles, self.rewards = tuple(roles), tuple(rewards)
        most = n_instruments if draw is None else draw.pick.shape[1]
        self.n_instruments = min(most, len(panel.instruments))
        self._first, self._last = max(span[0], WARM_UP), span[1] - 1 - length
        self._draw = draw
        if draw is None and self._last < self._first:
            raise NotEnoughData(
                f"bars {span[0]} to {span[1]} hold no window of {length} bars after {WARM_UP} to warm up",
                kept="no agent was trained",
                hint="ask for a longer history, or set a smaller window in [universes.NAME.marl]",
            )
        self._device = panel.open.device
        self._columns = torch.stack([getattr(panel, name).to(torch.float64) for name in _COLUMNS], dim=-1)
        traders = [role.trades for role in self.roles]
        self._traders = torch.tensor(traders, device=self._device)
        self.capital = self._traders.to(torch.float64) * capital  # [A]
        self._widths: tuple[int, int] | None = None
        self.reset(torch.Generator().manual_seed(0))

    @property
    def n_agents(self) -> int:
        """A."""
        return len(self.roles)

    @property
    def agents(self) -> tuple[str, ...]:
        """The roles' names."""
        return tuple(role.name for role in self.roles)

    @property
    def observation_size(self) -> int:
        """F of the widest role."""
        assert self._widths is not None
        return self._widths[0]

    @property
    def n_actions(self) -> int:
        """K of the widest role."""
        return max(len(role.actions) for role in self.roles)

    @property
    def state_size(self) -> int:
        """S: all instruments' and the market's features, and every account."""
        n, a = self.n_instruments, self.n_agents
        return n * (len(ASSET_FEATURES) + 1) + len(MARKET_FEATURES) + a * (n + 3) + 1

    def reset(self, generator: torch.Generator) -> Step:
        """All cash, in new windows and instruments drawn from ``generator``."""
        drawn = self._draw or self._random_draw(generator)
        self._t, self._pick = drawn.start.to(self._device), drawn.pick.to(self._device)
        self.ledger = Ledger.opening(self.capital, self.n_envs, self.n_instruments)
        self.equity = self.ledger.cash.clone()  # [E, A] at the last close
        self._past = self.equity[..., None].repeat(1, 1, PEAK)  # [E, A, PEAK] equities, newest last
        none = torch.zeros_like(self.equity)
        self._recent = none[..., None].repeat(1, 1, RECENT)
        self._team_recent = self._recent[:, 0].clone()
        self._budget, self._cap = none + 1, none[:, 0] + 1
        self._age = 0
        self._earned = none[0].clone()
        self.fills: Fills | None = None
        self._now = self._gathered(self._t)
        self._view = self._look()
        return self._step(none.float())

    def step(self, action: Tensor, message: Tensor | None = None) -> Step:
        """Apply one action ``[E, A]`` of every agent to the next bar; ``message`` is not heard here."""
        if self._age >= self.length:
            raise ModelError(f"the episode of {self.length} steps is over", hint="call reset first")
        self._require_legal(action)
        view, betas = self._view, self._view.asset("beta")
        decisions = [
            role.decide(view, me, action[:, me].to(self._device)) for me, role in enumerate(self.roles)
        ]
        self._set_limits(decisions)
        orders = self._orders(decisions)
        coming = self._gathered(self._t + 1)
        self.fills = execute(self.ledger, orders, self._bar(coming))
        before, mark_before = self.equity, self._now["mark"]
        self._t, self._age, self._now = self._t + 1, self._age + 1, coming
        self.equity = self.ledger.equity(coming["mark"])
        self.ledger.find_ruin(coming["mark"])
        outcome = self._outcome(before, mark_before, betas)
        self._view = self._look()
        paid = [self._paid(outcome, me) for me in range(self.n_agents)]
        return self._step(torch.stack(paid, dim=1).float())

    def baseline(self) -> Tensor:
        """The rules' actions ``[E, A]`` now."""
        return torch.stack([role.baseline(self._view, me) for me, role in enumerate(self.roles)], dim=1)

    def traded(self) -> Tensor:
        """Value bought and sold in the last bar, ``[E, A]``; 0 after a reset."""
        return torch.zeros_like(self.equity) if self.fills is None else self.fills.value

    def costs(self) -> Tensor:
        """Fees and impact paid since the reset, ``[E, A]``."""
        return self.ledger.fees + self.ledger.impact

    def own_returns(self) -> Tensor:
        """Each account's log return in percent since the reset, the mean over copies ``[A]``."""
        return self._earned

    def team_drawdown(self) -> Tensor:
        """How far each team ``[E]`` is below its highest equity of the last ``PEAK`` bars."""
        return _drawdown(self._past.sum(1))

    def bars(self) -> Tensor:
        """Each copy's bar ``[E]``: its place in the panel."""
        return self._t

    def holdings_without_trade(self) -> tuple[str, ...]:
        """Instruments held that do not trade now: they are valued at their last close."""
        held = (self.ledger.units != 0).any(1) & ~self._view.asset("traded").bool()
        places = sorted(set(self._pick[held].tolist()))
        return tuple(self.panel.instruments[place] for place in places)

    def _random_draw(self, generator: torch.Generator) -> Draw:
        span = (self._first, self._last + 1)
        where = generator.device
        start = torch.randint(*span, (self.n_envs,), generator=generator, device=where)
        order = torch.rand(self.n_envs, len(self.panel.instruments), generator=generator, device=where)
        pick = order.argsort(dim=1)[:, : self.n_instruments].sort(dim=1).values
        return Draw(start, pick)

    def _gathered(self, t: Tensor) -> dict[str, Tensor]:
        """Each copy's bar ``t [E]`` of its instruments, by column ``[E, N]``."""
        values = self._columns[t[:, None], self._pick]
        return dict(zip(_COLUMNS, values.unbind(-1), strict=True))

    def _bar(self, coming: dict[str, Tensor]) -> Bar:
        panel, t = self.panel, self._t + 1
        given = {name: coming[name] for name in _COLUMNS if name not in ("mark", "tick")}
        given |= {name: coming[name] > 0 for name in ("can_buy", "can_sell")}
        given |= {name: self._now[name] for name in ("sigma", "adv")}
        terms = {name: getattr(panel, name)[t] for name in ("buy_bps", "sell_bps", "minimum")}
        flags = {
            name: getattr(panel, name)[: self.n_instruments] for name in ("lock", "shortable")
        }  # the same for all of a market
        return Bar(**given, **terms, **flags)

    def _set_limits(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            if decision.budget is not None:
                self._budget = torch.where(decision.budget.isnan(), self._budget, decision.budget)
            if decision.cap is not None:
                self._cap = torch.where(decision.cap.isnan(), self._cap, decision.cap)

    def _orders(self, decisions: Sequence[Decision]) -> Orders:
        """Weights to units at the last close, within budgets and the cap."""
        view, mark = self._view, self._now["mark"]
        unchanged = torch.full_like(mark, torch.nan)
        limit = (self._budget * self._cap[:, None])[..., None]  # [E, A, 1]
        asked = torch.stack([unchanged if d.target is None else d.target for d in decisions], dim=1)
        exposure = view.weights.abs().sum(-1, keepdim=True)
        cut = torch.where(exposure > limit * _CAP_SLACK, limit / exposure.clamp(min=1e-12), 1.0)
        target = torch.where(asked.isnan(), view.weights * cut, asked * limit)
        change = target - view.weights
        leaving = (target == 0) & (view.weights != 0)
        change = torch.where((change.abs() >= _BAND) | leaving, change, 0.0)
        worth = (self.equity.clamp(min=0.0)[..., None]) / mark[:, None]  # units for a weight of 1
        market = torch.where(leaving, -self.ledger.units, change * worth)
        none = torch.zeros_like(market)
        bid, bid_price, ask, ask_price = none, none.clone(), none.clone(), none.clone()
        for me, quotes in ((me, d.quotes) for me, d in enumerate(decisions)):
            if quotes is not None:
                bid[:, me], bid_price[:, me] = quotes.bid * limit[:, me] * worth[:, me], quotes.bid_price
                ask[:, me], ask_price[:, me] = quotes.ask * worth[:, me], quotes.ask_price
        return Orders(market, bid, bid_price, ask, ask_price)

    def _paid(self, outcome: Outcome, me: int) -> Tensor:
        """The sum of the rewards of one agent, ``[E]``."""
        parts = [reward.value(outcome, self.roles, me) for reward in self.rewards]
        return reduce(torch.add, parts) if parts else torch.zeros_like(outcome.team)

    def _outcome(self, before: Tensor, mark_before: Tensor, betas: Tensor) -> Outcome:
        """What the bar brought; moves the past equities and returns along."""
        own = torch.where(self._traders, _log_percent(self.equity, before), 0.0)
        self._earned = self._earned + own.mean(0)
        team, team_before = self.equity.sum(1), before.sum(1)
        earned = _log_percent(team, team_before)
        fallen = self.team_drawdown()
        self._past = torch.cat([self._past[..., 1:], self.equity[..., None]], dim=-1)
        drawdown = self.team_drawdown()
        self._recent = torch.cat([self._recent[..., 1:], own[..., None] / 100], dim=-1)
        self._team_recent = torch.cat([self._team_recent[:, 1:], earned[:, None] / 100], dim=-1)
        assets = 100 * torch.log(self._now["mark"] / mark_before)
        return Outcome(
            own=own,
            team=earned,
            index=assets.mean(1),
            assets=assets,
            weights=self._weights(self.ledger.units),
            betas=betas,
            share=before / team_before[:, None],
            drawdown=100 * drawdown,
            deeper=100 * (drawdown - fallen).clamp(min=0.0),
        )

    def _weights(self, units: Tensor) -> Tensor:
        """Value of ``units [E, A, N]`` at the last close over the agent's equity; 0 without an account."""
        value = units * self._now["mark"][:, None]
        return torch.where(self._traders[:, None], value / self.equity.clamp(min=1.0)[..., None], 0.0)

    def _look(self) -> View:
        """What is known at the close; what may be sold is as of the next bar's session."""
        panel, t = self.panel, self._t
        self.ledger.open_session(panel.new_session[(t + 1).clamp(max=len(panel.new_session) - 1)])
        team = self.equity.sum(1)
        value = self.ledger.units.sum(1) * self._now["mark"]
        grown = self.equity.clamp(min=1.0) / self._past[..., 0].clamp(min=1.0)
        return View(
            features=panel.features[t[:, None], self._pick],
            indicators=panel.market[t],
            price=self._now["mark"],
            sigma=self._now["sigma"],
            tick=self._now["tick"],
            weights=self._weights(self.ledger.units),
            sellable=self._weights(self.ledger.sellable()),
            growth=grown.log(),
            drawdown=_drawdown(self._past),
            recent=self._recent,
            budget=self._budget,
            cap=self._cap,
            team_weights=value / team.clamp(min=1.0)[:, None],
            team_drawdown=self.team_drawdown(),
            team_recent=self._team_recent,
            ruined=self.ledger.ruined,
            shortable=panel.shortable[: self.n_instruments],
            traders=self._traders,
            age=torch.full((self.n_envs,), self._age, device=self._device),
        )

    def _step(self, reward: Tensor) -> Step:
        view = self._view
        observations = [role.observe(view, me) for me, role in enumerate(self.roles)]
        masks = [role.mask(view, me) for me, role in enumerate(self.roles)]
        self._widths = (max(o.shape[1] for o in observations), self.n_actions)
        self._mask = torch.stack([_padded(mask, self.n_actions) for mask in masks], dim=1)
        done = torch.full((self.n_envs,), self._age >= self.length, device=self._device)
        observation = torch.stack([_padded(o, self._widths[0]) for o in observations], dim=1)
        return Step(observation, self._mask, self._state(view), reward, done)

    def _state(self, view: View) -> Tensor:
        parts = [
            view.features.flatten(1),
            view.indicators,
            view.team_weights,
            view.weights.flatten(1),
            view.drawdown,
            view.growth,
            view.budget,
            view.cap[:, None],
        ]
        return torch.cat([part.float() for part in parts], dim=1)

    def _require_legal(self, action: Tensor) -> None:
        legal = self._mask.gather(2, action.to(self._device)[..., None].clamp(0, self.n_actions - 1))[..., 0]
        wrong = ~legal | (action < 0) | (action >= self.n_actions)
        if bool(wrong.any()):
            copy, agent = wrong.nonzero()[0].tolist()
            raise ModelError(
                f"action {int(action[copy, agent])} of {self.agents[agent]} is not legal in copy {copy}",
                kept="no order was placed",
                hint="choose among the actions of action_mask",
            )


def _log_percent(after: Tensor, before: Tensor) -> Tensor:
    """Log return in percent; an account that lost everything stands at a millionth."""
    return 100 * torch.log(after.clamp(min=1.0) / before.clamp(min=1.0))


def _drawdown(past: Tensor) -> Tensor:
    """How far the last of the equities ``[…, PEAK]`` lies below their highest; 0 without an account."""
    return 1 - past[..., -1].clamp(min=1.0) / past.amax(-1).clamp(min=1.0)


def _padded(values: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(values, (0, width - values.shape[1]))
