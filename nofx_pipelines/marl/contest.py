"""Every policy over the same later bars, in one batch: the trained teams and what they must beat.

The pool is split into groups of instruments, as many as fit, the most liquid first, dealt out in turn. A
policy's equity is the mean over the groups. Rivals: ``random`` (legal actions at random), ``hold`` (never
trades), ``buy_and_hold`` (every trader buys all instruments of its group alike at the first bar), ``rules``
(all roles by their rules) and ``rule_<role>``: a trader's rule by itself, or a manager's rule over traders
that act by theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.lake.schemas import EQUITY
from nofx_pipelines.marl.credit import Actor
from nofx_pipelines.marl.environment import Step
from nofx_pipelines.marl.features import WARM_UP
from nofx_pipelines.marl.panel import MarketPanel
from nofx_pipelines.marl.roles.role import Decision, Outcome, Role, View, equal_weight, keep, legal, pick
from nofx_pipelines.marl.scenario import Scenario
from nofx_pipelines.marl.tasks.protocol import Floor
from nofx_pipelines.marl.trading import Draw

GROUPS = 5
"""Of instruments, at most."""
MIN_BARS, MOST_BARS, MOST_WINDOWS = 20, 1_000, 20
"""Bars after the cut that a contest needs, bars of one window at most, and windows at most."""
TEAM = "agents"

Choose = Callable[[Step, Tensor, slice], Tensor]
"""A step, the rules' actions and the copies meant, to actions."""


@dataclass(frozen=True)
class Incumbent:
    """Buys all instruments alike when asked to, and never trades again."""

    name: str = "incumbent"
    actions: tuple[str, ...] = ("hold", "buy")
    trades: bool = True

    def observe(self, view: View, me: int) -> Tensor:
        """Its weights."""
        return view.weights[:, me].float()

    def mask(self, view: View, me: int) -> Tensor:
        """It buys once."""
        return legal(view, me, [~view.held(me)])

    def decide(self, view: View, me: int, action: Tensor) -> Decision:
        """Equal weights."""
        every = equal_weight(torch.ones_like(view.price, dtype=torch.bool))
        return Decision(target=pick([keep(view), every], action))

    def reward(self, outcome: Outcome, me: int) -> Tensor:
        """The own return."""
        return outcome.own[:, me]

    def baseline(self, view: View, me: int) -> Tensor:
        """Buy at the first bar."""
        return (view.age == 0).long()


@dataclass(frozen=True, eq=False)
class Contest:
    """Curves of every policy and seed, and what was still held at the end without a price."""

    equity: pl.DataFrame
    """Rows of EQUITY; a policy named ``agents/<role>`` or ``rule_<role>`` is that account alone."""
    unpriced: tuple[str, ...]


def groups_of(panel: MarketPanel, cut: int, n_instruments: int, most: int = GROUPS) -> Tensor:
    """Places ``[G, N]`` of the instruments of each group, by the amount traded before bar ``cut``."""
    n = min(n_instruments, len(panel.instruments))
    count = min(most, len(panel.instruments) // n)
    amount = (panel.adv * panel.mark)[max(cut - 1, 0)].cpu()
    order = amount.argsort(descending=True, stable=True)[: count * n]
    return order.reshape(n, count).T.sort(dim=1).values


def run_contest(
    panel: MarketPanel,
    cut: int,
    teams: Mapping[int, Actor],
    random_seeds: Sequence[int],
    scenario: Scenario,
) -> Contest:
    """Run trained teams and all rivals over later bars.

    More than ``MOST_BARS`` bars are played in windows side by side, each from cash, and joined in the
    curve; what ``MOST_WINDOWS`` windows do not reach is left out.

    Parameters
    ----------
    panel:
        The bars.
    cut:
        Place of the first bar that is judged on.
    teams:
        By seed.
    random_seeds:
        One run of random actions each.
    scenario:
        What the teams were trained in.

    Raises
    ------
    NotEnoughData
        When there are less than ``MIN_BARS`` bars to judge on, or too few before.
    """
    later = len(panel.session_date) - 1 - cut
    count = min(-(-later // MOST_BARS), MOST_WINDOWS)
    length = min(later // max(count, 1), MOST_BARS)
    if cut < WARM_UP or length < MIN_BARS:
        raise NotEnoughData(
            f"{cut} bars before the cut and {length + 1} after it; {WARM_UP} and {MIN_BARS + 1} are needed",
            kept="no policy was judged",
            hint="ask for a longer history",
        )
    roles, groups = scenario.roles, groups_of(panel, cut, scenario.task.instruments)
    stage = _Stage(scenario, panel, [cut + place * length for place in range(count)], length, groups)
    entrants: list[tuple[str, int, Choose]] = [
        *((TEAM, seed, _by(actor)) for seed, actor in teams.items()),
        *(("random", seed, _at_random(seed)) for seed in random_seeds),
        ("hold", 0, _rules([])),
        ("rules", 0, _rules(range(len(roles)))),
        *((f"rule_{role.name}", 0, _rules(_led_by(me, roles))) for me, role in enumerate(roles)),
    ]
    main = _run(stage, roles, entrants)
    incumbents = [Incumbent() for role in roles if role.trades]
    still = _run(stage, incumbents, [("buy_and_hold", 0, _rules(range(len(incumbents))))])
    unpriced = {*main.unpriced, *still.unpriced}
    return Contest(pl.concat([main.equity, still.equity]).sort(*EQUITY.key), tuple(sorted(unpriced)))


def _led_by(me: int, roles: Sequence[Role]) -> list[int]:
    """Whose rules are judged together: a trader's by itself, a manager's with those whom it manages."""
    return [me] if roles[me].trades else [*(i for i, role in enumerate(roles) if role.trades), me]


@dataclass(frozen=True, eq=False)
class _Stage:
    """Where all entrants play: windows of ``length`` bars from each start, in every group of instruments."""

    scenario: Scenario
    panel: MarketPanel
    starts: Sequence[int]
    length: int
    groups: Tensor  # [G, N]

    @property
    def copies(self) -> int:
        """Of one entrant: windows times groups."""
        return len(self.starts) * len(self.groups)

    def draw(self, entrants: int) -> Draw:
        """All copies: entrants, in them windows, in them groups."""
        starts = torch.tensor(list(self.starts)).repeat_interleave(len(self.groups)).repeat(entrants)
        return Draw(starts, self.groups.repeat(entrants * len(self.starts), 1))


def _run(stage: _Stage, roles: Sequence[Role], entrants: Sequence[tuple[str, int, Choose]]) -> Contest:
    """All entrants side by side."""
    count, length = stage.copies, stage.length
    floor = stage.scenario.judging_floor(stage.panel, stage.draw(len(entrants)), length, roles)
    step = floor.reset(torch.Generator())
    own = [slice(place * count, (place + 1) * count) for place in range(len(entrants))]
    curves, traded, paid = [floor.equity], [floor.traded()], [floor.costs()]
    for _ in range(length):
        rules = floor.baseline()
        actions = [choose(step, rules, mine) for (_, _, choose), mine in zip(entrants, own, strict=True)]
        step = floor.step(torch.cat(actions))
        curves.append(floor.equity)
        traded.append(floor.traded())
        paid.append(floor.costs())
    money = [torch.stack(values).cpu() for values in (curves, traded, paid)]  # each [L+1, E, A]
    frames = []
    for (name, seed, _), mine in zip(entrants, own, strict=True):
        accounts = _accounts(name, floor)
        frames += [
            _curve(stage, policy, seed, [values[:, mine, of].sum(2) for values in money])
            for policy, of in accounts.items()
        ]
    return Contest(pl.concat(frames), floor.holdings_without_trade())


def _accounts(name: str, floor: Floor) -> dict[str, list[int]]:
    """Which accounts make up a policy's equity: a trader's rule is judged by its own account."""
    traders = [me for me, role in enumerate(floor.roles) if role.trades]
    single = [me for me in traders if name == f"rule_{floor.agents[me]}"]
    accounts = {name: single or traders}
    if name == TEAM:
        accounts |= {f"{TEAM}/{floor.agents[me]}": [me] for me in traders}
    return accounts


def _curve(stage: _Stage, policy: str, seed: int, money: list[Tensor]) -> pl.DataFrame:
    """Equity from 1, turnover a bar and cost a bar of the start's money: means over groups, joined."""
    windows, first = len(stage.starts), stage.starts[0]
    curve, traded, paid = (m.reshape(len(m), windows, -1) for m in money)  # [L+1, W, G]
    start = curve[:1]
    cost = (torch.diff(paid, dim=0, prepend=torch.zeros_like(paid[:1])) / start).mean(2)
    turnover = (traded / 2 / torch.cat([curve[:1], curve[:-1]]).clamp(min=1.0)).mean(2)
    grown = (curve / start).mean(2)  # [L+1, W]
    reached = torch.cat(
        [torch.ones(1, dtype=grown.dtype), grown[-1].cumprod(0)[:-1]]
    )  # at each window's start
    joined = [_joined(values) for values in (grown * reached, turnover, cost * reached)]
    bars = len(joined[0])
    times = pl.Series("ts_close", stage.panel.ts_close_us[first : first + bars]).cast(
        pl.Datetime("us", "UTC")
    )
    return pl.DataFrame(
        {
            "policy": [policy] * bars,
            "seed": pl.Series([seed] * bars, dtype=pl.Int64),
            "ts_close": times,
            "equity": joined[0].numpy(),
            "turnover": joined[1].numpy(),
            "cost": joined[2].numpy(),
        }
    ).select(list(EQUITY.columns))


def _joined(values: Tensor) -> Tensor:
    """Windows ``[L+1, W]`` one after another; each begins with the bar that the one before ended with."""
    return torch.cat([values[:1, 0], values[1:].T.flatten()])


def _by(actor: Actor) -> Choose:
    return lambda step, rules, own: actor.act(step.observation[own], step.action_mask[own], None)


def _at_random(seed: int) -> Choose:
    generator = torch.Generator().manual_seed(seed)

    def choose(step: Step, rules: Tensor, own: slice) -> Tensor:
        mask = step.action_mask[own].float()
        flat = torch.multinomial(mask.flatten(0, 1).cpu(), 1, generator=generator)
        return flat.reshape(mask.shape[:2]).to(mask.device)

    return choose


def _rules(agents: Sequence[int]) -> Choose:
    """The rules of ``agents``, everyone else holds."""

    def choose(step: Step, rules: Tensor, own: slice) -> Tensor:
        action = rules[own]
        active = torch.zeros(action.shape[1], dtype=torch.bool, device=action.device)
        active[list(agents)] = True
        return torch.where(active, action, torch.zeros_like(action))

    return choose
