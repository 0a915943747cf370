"""The floor: nothing from the future, the same bytes again, limits of the managers, bad worlds."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from nofx_pipelines.errors import ModelError, NotEnoughData
from nofx_pipelines.marl.environment import Environment, Step
from nofx_pipelines.marl.trading import Draw, TradingEnvironment
from tests.marl.worlds import F64, ROLES, market_bars, panel, trading_floor

AGENTS = [role.name for role in ROLES]


def floor(bars: pl.DataFrame | None = None, n_envs: int = 4, **options: object) -> TradingEnvironment:
    world = panel(bars)
    end = len(world.session_date)
    return trading_floor(world, n_envs=n_envs, **{"length": 20, "span": (0, end)} | options)


def fixed(bars: pl.DataFrame | None = None, **options: object) -> TradingEnvironment:
    """Two copies that start at bar 100 with instruments 0 to 2 and 3 to 5."""
    draw = Draw(torch.tensor([100, 100]), torch.tensor([[0, 1, 2], [3, 4, 5]]))
    return floor(bars, n_envs=2, draw=draw, n_instruments=3, **options)


def at_random(step: Step, generator: torch.Generator) -> torch.Tensor:
    e, a, k = step.action_mask.shape
    weights = step.action_mask.float().reshape(-1, k)
    return torch.multinomial(weights, 1, generator=generator).reshape(e, a)


def walk(environment: TradingEnvironment, steps: int, seed: int = 3) -> list[Step]:
    generator = torch.Generator().manual_seed(seed)
    seen = [environment.reset(generator)]
    for _ in range(steps):
        seen.append(environment.step(at_random(seen[-1], generator)))
    return seen


def same(a: Step, b: Step) -> bool:
    return all(torch.equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))


def test_it_is_an_environment() -> None:
    environment: Environment = floor()
    step = environment.reset(torch.Generator().manual_seed(1))
    assert environment.agents == tuple(AGENTS)
    assert step.observation.shape == (4, 8, environment.observation_size)
    assert step.action_mask.shape == (4, 8, environment.n_actions)
    assert step.state.shape == (4, environment.state_size)
    assert (step.observation.dtype, step.reward.dtype) == (torch.float32, torch.float32)
    assert not step.done.any()


def test_the_same_generator_gives_the_same_bytes() -> None:
    assert all(same(a, b) for a, b in zip(walk(floor(), 20), walk(floor(), 20), strict=True))
    assert not same(walk(floor(), 0, seed=3)[0], walk(floor(), 0, seed=4)[0])


@pytest.mark.parametrize("cut", [100, 107, 119])
def test_the_future_changes_nothing_that_is_seen_or_decided(cut: int) -> None:
    bars, other = market_bars(seed=1), market_bars(seed=8)
    day = bars["session_date"].unique().sort()[cut]
    later = other.filter(pl.col("session_date") > day)
    changed = pl.concat([bars.filter(pl.col("session_date") <= day), later]).sort("instrument_id", "ts_open")
    one, two = fixed(bars), fixed(changed)
    generator = torch.Generator().manual_seed(1)
    a, b = one.reset(generator), two.reset(generator)
    for _ in range(cut - 100):
        assert same(a, b)
        assert torch.equal(one.baseline(), two.baseline())
        action = one.baseline() if int(a.done.sum()) == 0 else at_random(a, generator)
        a, b = one.step(action), two.step(action)
    assert same(a, b)
    assert torch.equal(one.baseline(), two.baseline())
    if cut < 119:
        last = at_random(a, generator)
        assert not same(one.step(last), two.step(last))


def test_orders_fill_at_the_next_open_at_the_day_s_costs() -> None:
    environment = fixed()
    trend = AGENTS.index("trend_follower")
    step = environment.reset(torch.Generator())
    action = torch.zeros(2, 8, dtype=torch.int64)
    while not step.action_mask[0, trend, 2]:
        step = environment.step(action)
    action[0, trend] = 2
    t = int(environment.bars()[0])
    environment.step(action)
    fills = environment.fills
    assert fills is not None
    where = fills.bought[0, trend] > 0
    assert where.any()
    opens = environment.panel.open[t + 1, :3]
    bought = fills.bought[0].sum(0)
    known = environment.panel.sigma[t, :3] * (bought / environment.panel.adv[t, :3]).sqrt()
    torch.testing.assert_close(fills.buy_price[0], opens * (1 + known), rtol=1e-12, atol=0.0)
    assert (fills.bought[0, trend] % 100 == 0).all()
    value = (fills.bought[0, trend] * fills.buy_price[0]).sum()
    assert environment.ledger.fees[0, trend].item() == pytest.approx(value.item() * 2.6e-4, rel=1e-9)


def test_fees_change_on_the_day_that_the_duty_does() -> None:
    back = pl.duration(days=235)  # the stamp duty was halved on 2023-08-28, bar 109
    bars = market_bars().with_columns(pl.col("session_date", "ts_open", "ts_close") - back)
    environment = fixed(bars)
    environment.reset(torch.Generator())
    duty = int((environment.panel.sell_bps == environment.panel.sell_bps[0]).sum())
    assert 101 < duty < 119
    paid = []
    for bar in range(101, duty + 2):
        environment.ledger.units[:] = 0.0
        environment.ledger.units[0, 1, 0] = 1_000.0
        environment.ledger.ruined[0, 1] = True  # sold at the next open
        before = environment.ledger.fees[0, 1].item()
        environment.step(torch.zeros(2, 8, dtype=torch.int64))
        fills = environment.fills
        assert fills is not None
        paid.append((environment.ledger.fees[0, 1].item() - before) / fills.value[0, 1].item() * 1e4)
        assert bar == int(environment.bars()[0])
    assert paid == pytest.approx([12.6] * (duty - 101) + [7.6] * 2, rel=1e-9)


def test_episodes_end_together_and_then_need_a_reset() -> None:
    environment = floor(length=3)
    seen = walk(environment, 3)
    assert [bool(step.done.all()) for step in seen] == [False, False, False, True]
    with pytest.raises(ModelError, match="3 steps is over"):
        environment.step(torch.zeros(4, 8, dtype=torch.int64))


def test_an_illegal_action_is_refused() -> None:
    environment = floor()
    environment.reset(torch.Generator().manual_seed(1))
    action = torch.zeros(4, 8, dtype=torch.int64)
    action[2, 7] = 6
    with pytest.raises(ModelError, match="action 6 of risk_manager is not legal in copy 2"):
        environment.step(action)


def test_money_is_conserved_on_the_floor() -> None:
    environment = floor()
    walk(environment, 20)
    book = environment.ledger
    total = book.cash + book.spent + book.fees + book.impact
    torch.testing.assert_close(total, book.capital.expand_as(total), rtol=1e-9, atol=1e-6)
    assert book.fees[:, :6].sum() > 0
    assert (book.cash[:, 6:] == 0).all()


def test_the_risk_manager_s_cap_takes_positions_down() -> None:
    environment, generator = floor(), torch.Generator().manual_seed(2)
    step = environment.reset(generator)
    for _ in range(8):
        step = environment.step(at_random(step, generator))
    low, held = torch.zeros(4, 8, dtype=torch.int64), torch.zeros(4, 8, dtype=torch.int64)
    low[:, 7] = torch.where(step.action_mask[:, 7, 3], 3, 0)

    def exposure() -> torch.Tensor:
        value = environment.ledger.units * environment.panel.mark[environment.bars()][:, None]
        return value.sum(-1)[:, :6] / environment.equity[:, :6]

    assert (exposure() > 0.55).any()
    environment.step(low)
    assert (exposure() < 0.35).all()
    environment.step(held)
    assert (exposure() < 0.35).all()


def test_a_budget_shrinks_what_a_trader_may_hold() -> None:
    whole, half = fixed(), fixed()
    mood = AGENTS.index("sentiment_analyst")
    for environment, budget in ((whole, 1), (half, 2)):
        step = environment.reset(torch.Generator())
        action = torch.zeros(2, 8, dtype=torch.int64)
        action[:, 6] = budget
        legal = step.action_mask[:, mood].float()
        action[:, mood] = torch.where(legal[:, 4] > 0, 4, torch.where(legal[:, 5] > 0, 5, 0))
        environment.step(action)
    full, less = (f.ledger.units[:, mood] * f.panel.mark[101, :6].reshape(2, 3) for f in (whole, half))
    assert full.sum() > 0
    assert less.sum().item() == pytest.approx(full.sum().item() / 2, rel=0.02)


def test_a_ruined_agent_only_holds_and_its_equity_stays() -> None:
    environment = fixed()
    step = environment.reset(torch.Generator())
    environment.ledger.cash[0, 1] = 5_000.0
    action = torch.zeros(2, 8, dtype=torch.int64)
    step = environment.step(action)
    assert step.action_mask[0, 1].sum().item() == 1
    assert step.action_mask[1, 1].sum().item() >= 1
    before = environment.equity[0, 1].item()
    environment.step(action)
    assert environment.equity[0, 1].item() == before
    assert torch.isfinite(step.reward).all()


def test_what_is_suspended_to_the_end_is_valued_at_its_last_price_and_named() -> None:
    bars = market_bars()
    gone = (pl.col("session_date") > bars["session_date"].unique().sort()[105]) & (
        pl.col("instrument_id") == "CN.SSE.600000"
    )
    halted = bars.with_columns(
        pl.when(gone).then(pl.lit("suspended")).otherwise(pl.col("status")).alias("status"),
        *(pl.when(gone).then(None).otherwise(pl.col(c)).alias(c) for c in ("open", "high", "low", "close")),
    )
    environment = fixed(halted)
    environment.reset(torch.Generator())
    environment.ledger.units[0, 0, 0] = 1_000.0
    for _ in range(10):
        environment.step(torch.zeros(2, 8, dtype=torch.int64))
    last = environment.panel.mark[105, 0]
    assert environment.holdings_without_trade() == ("CN.SSE.600000",)
    assert environment.equity[0, 0].item() == pytest.approx(1e6 + 1_000 * last.item())
    assert environment.ledger.units[0, 0, 0].item() == 1_000.0


@pytest.mark.parametrize(
    "bars",
    [
        market_bars(n=1),
        market_bars(volume=pl.lit(0.0)),
        market_bars(volume=pl.lit(float("nan"))),
        market_bars(close=pl.lit(10.0), open=pl.lit(10.0), high=pl.lit(10.0), low=pl.lit(10.0)),
        market_bars(high=pl.lit(float("nan")), low=pl.lit(float("inf"))),
    ],
    ids=["one instrument", "zero volume", "unknown volume", "constant", "no range"],
)
def test_bad_worlds_run_and_stay_finite(bars: pl.DataFrame) -> None:
    for step in walk(floor(bars), 20):
        assert all(torch.isfinite(x.to(F64)).all() for x in vars(step).values())
        assert step.action_mask[..., 0].all()


def test_without_volume_nothing_is_traded() -> None:
    environment = floor(market_bars(volume=pl.lit(0.0)))
    walk(environment, 20)
    assert not environment.ledger.units.any()


def test_a_history_that_is_too_short_is_an_error() -> None:
    with pytest.raises(NotEnoughData, match="hold no window of 20 bars"):
        floor(market_bars(sessions=70))


def test_a_drawdown_is_measured_over_sixty_bars_only() -> None:
    world = panel(market_bars(sessions=200))
    draw = Draw(torch.tensor([60]), torch.tensor([[0]]))
    environment = trading_floor(world, n_envs=1, length=100, span=(0, 0), draw=draw)
    environment.reset(torch.Generator())
    environment.ledger.cash[0, 1] = 800_000.0  # a fifth is lost at once
    seen = []
    for _ in range(62):
        environment.step(torch.zeros(1, 8, dtype=torch.int64))
        seen.append(environment.team_drawdown().item())
    assert seen[0] == pytest.approx(0.2 / 6)
    assert seen[58] == pytest.approx(0.2 / 6)
    assert seen[59:] == [0.0, 0.0, 0.0]
