from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.errors import DataError, NotEnoughData
from nofx_pipelines.evaluation.portfolio import positive_slots, simulate, target_weights, top_fifth
from nofx_pipelines.evaluation.portfolio_ledger import CostRule
from nofx_pipelines.market.rules import costs as market_costs
from tests.evaluation.test_portfolio_ledger import FREE, Schedule
from tests.evaluation.worlds import bars_frame, predictions_frame

DAY = date(2024, 1, 1)


def run(
    scores: np.ndarray, opens: np.ndarray, closes: np.ndarray, costs: CostRule = FREE, holding_bars: int = 1
) -> pl.DataFrame:
    return simulate(predictions_frame(scores), bars_frame(opens, closes), costs, holding_bars=holding_bars)


def test_a_hand_computed_portfolio_of_one_instrument() -> None:
    """Decided at the first close, bought at 10, marked at 11, sold at 12 (the score turned), then flat."""
    scores = np.array([[1.0], [-1.0], [-1.0], [-1.0]])
    opens = np.array([[9.0], [10.0], [12.0], [50.0]])
    closes = np.array([[9.5], [11.0], [13.0], [60.0]])
    result = run(scores, opens, closes, Schedule(100.0, 50.0))
    bought = 1 / 1.01
    assert result["equity"].to_list() == pytest.approx(
        [1.0, 1.1 * bought, 1.2 * bought * 0.995, 1.2 * bought * 0.995]
    )
    assert result["cost"].to_list() == pytest.approx([0.0, 0.01 * bought, 0.005 * 1.2 * bought, 0.0])
    assert result["turnover"].to_list() == pytest.approx([0.0, bought / 2, 0.5, 0.0])
    assert result["session_date"].to_list() == [DAY + timedelta(days=t) for t in range(4)]


def test_without_costs_full_rotation_earns_the_top_fifths_open_to_open_returns() -> None:
    """Closed form: disjoint picks each bar, so equity compounds the mean open-to-open return of each pick."""
    rng = np.random.default_rng(7)
    bars, names = 30, 10
    opens = 100 * np.exp(np.cumsum(0.02 * rng.standard_normal((bars, names)), axis=0))
    closes = opens * np.exp(0.01 * rng.standard_normal((bars, names)))
    scores = np.zeros((bars, names))
    for t in range(bars):
        scores[t, [2 * t % 10, 2 * t % 10 + 1]] = 1.0
    equity, expected = run(scores, opens, closes)["equity"].to_list(), 1.0
    for t in range(1, bars - 1):
        pick = [2 * (t - 1) % 10, 2 * (t - 1) % 10 + 1]
        assert equity[t] == pytest.approx(expected * (closes[t, pick] / opens[t, pick]).mean(), rel=1e-12)
        expected *= (opens[t + 1, pick] / opens[t, pick]).mean()


def test_suspended_is_held_and_sold_when_it_trades_again() -> None:
    scores = np.array([[1.0], [-1.0], [-1.0], [-1.0]])
    opens = np.array([[10.0], [10.0], [np.nan], [8.0]])
    closes = np.array([[10.0], [10.0], [np.nan], [8.0]])
    result = run(scores, opens, closes)
    assert result["equity"].to_list() == pytest.approx([1.0, 1.0, 1.0, 0.8])
    assert result["turnover"].to_list() == pytest.approx([0.0, 0.5, 0.0, 0.5])


@pytest.mark.parametrize(("opening", "bought"), [(11.0, False), (10.99, True)])
def test_nothing_is_bought_at_limit_up(opening: float, bought: bool) -> None:
    prices = np.array([[10.0], [opening], [11.0]])
    bars = bars_frame(prices, prices).with_columns(limit_up=pl.lit(11.0 + 1e-12), limit_down=pl.lit(9.0))
    result = simulate(predictions_frame(np.array([[1.0], [1.0], [1.0]])), bars, FREE)
    assert (result["turnover"][1] > 0) is bought


@pytest.mark.parametrize(("opening", "sold"), [(9.0, False), (9.01, True)])
def test_nothing_is_sold_at_limit_down(opening: float, sold: bool) -> None:
    prices = np.array([[10.0], [10.0], [opening]])
    bars = bars_frame(prices, prices).with_columns(limit_up=pl.lit(11.0), limit_down=pl.lit(9.0))
    result = simulate(predictions_frame(np.array([[1.0], [-1.0], [-1.0]])), bars, FREE)
    assert (result["turnover"][2] > 0) is sold


def test_a_bar_that_is_not_traded_fills_nothing_even_with_a_price() -> None:
    prices = np.full((3, 1), 10.0)
    bars = bars_frame(prices, prices).with_columns(status=pl.lit("halted"))
    assert simulate(predictions_frame(np.ones((3, 1))), bars, FREE)["turnover"].sum() == 0


def test_orders_are_sized_by_what_is_known_at_the_open() -> None:
    """A halted holding counts with its last close, not with the close that the bar will have."""
    scores = np.array([[1.0, -1.0], [1.0, 1.0], [1.0, 1.0]])
    prices = np.array([[10.0, 10.0], [10.0, 10.0], [99.0, 10.0]])
    halted = (pl.col("instrument_id") == "I00") & (pl.col("session_date") == DAY + timedelta(days=2))
    status = pl.when(halted).then(pl.lit("halted")).otherwise("status")
    bars = bars_frame(prices, prices).with_columns(status.alias("status"))
    assert simulate(predictions_frame(scores), bars, FREE)["turnover"][2] == pytest.approx(0.25)


def test_fees_follow_their_dates() -> None:
    """Stamp duty on A-share sales was halved on 2023-08-28."""
    before, after = (market_costs("cn", "main", date(2023, 8, day)) for day in (25, 28))
    assert before.sell_bps - after.sell_bps == pytest.approx(5.0)
    scores, prices = np.array([[1.0], [-1.0], [1.0], [-1.0], [-1.0]]), np.full((5, 1), 10.0)

    def schedule(day: date) -> Schedule:
        return Schedule(0.0, 10.0 if day < DAY + timedelta(days=4) else 5.0)

    cost = run(scores, prices, prices, schedule)["cost"].to_list()
    assert cost == pytest.approx([0, 0, 0.001, 0, 0.0005 * 0.999])


score_rows = st.lists(st.one_of(st.none(), st.integers(-3, 3)), min_size=5, max_size=23)


@given(score_rows, st.randoms(use_true_random=False))
def test_top_fifth_laws(row: list[int | None], random: object) -> None:
    """Weights sum to one, ties weigh the same, better never weighs less, and order of columns is nothing."""
    scores = np.array([[np.nan if s is None else float(s) for s in row]])
    weights = top_fifth(scores)[0]
    present = np.isfinite(scores[0])
    places = int(present.sum()) // 5
    assert weights.sum() == pytest.approx(1.0 if places else 0.0)
    assert (weights[~present] == 0).all()
    assert weights.max(initial=0.0) <= 1 / max(places, 1) + 1e-12
    order = list(range(len(row)))
    random.shuffle(order)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(top_fifth(scores[:, order])[0], weights[order])
    for i in np.flatnonzero(present):
        for j in np.flatnonzero(present):
            if scores[0, i] >= scores[0, j]:
                assert weights[i] >= weights[j]


def test_weights_without_ties_are_the_best_fifth() -> None:
    rng = np.random.default_rng(7)
    scores = rng.standard_normal((20, 31))
    expected = np.zeros_like(scores)
    for t, row in enumerate(scores):
        expected[t, np.argsort(row)[-6:]] = 1 / 6
    np.testing.assert_allclose(top_fifth(scores), expected)


def test_below_five_instruments_each_has_a_slot() -> None:
    scores = np.array([[0.2, -0.1, np.nan], [0.1, 0.1, 0.1]])
    np.testing.assert_allclose(positive_slots(scores), [[0.5, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(target_weights(scores, 1), positive_slots(scores))


def test_overlapping_portfolios_average_the_last_decisions() -> None:
    scores = np.random.default_rng(7).standard_normal((9, 10))
    decided = top_fifth(scores)
    expected = [decided[max(0, t - 2) : t + 1].sum(axis=0) / 3 for t in range(9)]
    np.testing.assert_allclose(target_weights(scores, 3), expected)


def market(seed: int, bars: int = 60, names: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(0.02 * rng.standard_normal((bars, names)), axis=0))
    opens = np.vstack([np.full(names, 100.0), closes[:-1]]) * np.exp(
        0.005 * rng.standard_normal((bars, names))
    )
    idle = rng.random((bars, names)) < 0.05
    return (
        rng.standard_normal((bars, names)),
        np.where(idle, np.nan, opens),
        np.where(idle, np.nan, closes),
    )


@pytest.mark.parametrize("holding_bars", [1, 5])
@pytest.mark.parametrize("cut", [5, 20, 40])
def test_the_future_does_not_change_the_past(cut: int, holding_bars: int) -> None:
    """Perturb every score from ``cut`` on and every price after it: nothing at or before it moves."""
    scores, opens, closes = market(7)
    costs = Schedule(3.0, 8.0)
    before = run(scores, opens, closes, costs, holding_bars)
    other = market(8)
    scores[cut:], opens[cut + 1 :], closes[cut + 1 :] = (
        other[0][cut:],
        other[1][cut + 1 :],
        other[2][cut + 1 :],
    )
    after = run(scores, opens, closes, costs, holding_bars)
    assert before.head(cut + 1).equals(after.head(cut + 1))
    assert not before.equals(after)


@pytest.mark.parametrize("seed", range(5))
def test_dearer_trading_leaves_less(seed: int) -> None:
    scores, opens, closes = market(seed, bars=120)
    final = [run(scores, opens, closes, Schedule(bps, bps))["equity"][-1] for bps in (0, 5, 10, 20, 50)]
    assert final == sorted(final, reverse=True)
    assert final[0] > final[-1]


def test_overlapping_portfolios_turn_over_less() -> None:
    scores, opens, closes = market(3, bars=120)
    restless, calm = (run(scores, opens, closes, holding_bars=h)["turnover"].mean() for h in (1, 5))
    assert calm < 0.35 * restless  # type: ignore[operator]


def test_row_order_is_nothing() -> None:
    scores, opens, closes = market(5)
    predictions, bars = predictions_frame(scores), bars_frame(opens, closes)
    shuffled = simulate(
        predictions.sample(fraction=1, shuffle=True, seed=1),
        bars.sample(fraction=1, shuffle=True, seed=2),
        FREE,
    )
    assert simulate(predictions, bars, FREE).equals(shuffled)


def test_minute_bars_decide_and_fill_within_the_session() -> None:
    scores = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    opens = np.array([[10.0], [10.0], [11.0], [12.0]])
    predictions = predictions_frame(scores, per_session=2)
    bars = bars_frame(opens, opens, per_session=2)
    result = simulate(predictions, bars, FREE)
    assert result["equity"].to_list() == pytest.approx([1.0, 1.0, 1.1, 1.2])
    assert result["session_date"].n_unique() == 2
    assert result["ts_close"][0] == datetime(2024, 1, 1, 1, 1, tzinfo=UTC)


def test_what_cannot_be_simulated_is_refused() -> None:
    prices = np.full((3, 2), 10.0)
    bars, predictions = bars_frame(prices, prices), predictions_frame(np.ones((3, 3)))
    with pytest.raises(DataError, match=r"I02.*have no bars"):
        simulate(predictions, bars, FREE)
    with pytest.raises(NotEnoughData, match="no scores"):
        simulate(predictions.clear(), bars, FREE)
    with pytest.raises(NotEnoughData, match="no bars"):
        simulate(predictions, bars.clear(), FREE)
