"""The portfolio behind every Sharpe: what a score would have earned, after costs and without hindsight.

**Decision.** At each ``ts_close`` with scores: the top fifth by score, equal weight (instruments tied at
the edge share the places left). A universe below five instruments: each has an equal slot, held where its
score is positive. Rebalanced at every bar, so a restless score pays for its own turnover. With
``holding_bars`` = h the target is the mean of the last h decisions instead (overlapping portfolios,
Jegadeesh & Titman 1993): about one part in h comes up at a bar, and the first decisions invest in steps.

**Fill.** At the first bar that opens at or after the decision's close, at its open, with costs. What did
not trade is held; nothing is bought at limit-up nor sold at limit-down; what could not be filled is tried
at the next bar with that bar's target. Only instruments whose target changed are traded, so that drifting
prices alone cause no orders. Buys never exceed the cash at hand.

**Accounting.** Float64, equity starts at 1, fractional lots, marked to the last known close; what is still
held at the end is marked, not sold.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.evaluation.metrics import MIN_CROSS_SECTION
from nofx_pipelines.evaluation.portfolio_ledger import CostRule, Costs, Ledger
from nofx_pipelines.evaluation.price_panel import Panel, price_panel, score_matrix
from nofx_pipelines.lake.schemas import UTC_US

Array = NDArray[np.float64]

CAPITAL = 1_000_000.0
"""Starting equity in the quote currency: decides how much a minimum fee weighs."""


def top_fifth(scores: Array) -> Array:
    """Weights ``[D, N]`` of one decision a row: equal weight on the top fifth of the scores present.

    Instruments tied at the edge share the places left; NaN is no score; below five scores, cash.

    >>> top_fifth(np.array([[3.0, 1.0, 9.0, 2.0, 0.0]]))
    array([[0., 0., 1., 0., 0.]])
    """
    present = np.isfinite(scores)
    places = present.sum(axis=1, keepdims=True) // 5
    ordered = -np.sort(np.where(present, -scores, np.inf), axis=1)
    edge = np.take_along_axis(ordered, np.maximum(places - 1, 0), axis=1)
    above = present & (scores > edge)
    tied = present & (scores == edge)
    share = (places - above.sum(axis=1, keepdims=True)) / np.maximum(tied.sum(axis=1, keepdims=True), 1)
    weights = (above + tied * share) / np.maximum(places, 1)
    return np.asarray(np.where(places > 0, weights, 0.0))


def positive_slots(scores: Array) -> Array:
    """Weights ``[D, N]``: an equal slot for each instrument with a score, held where it is positive.

    >>> positive_slots(np.array([[0.2, -0.1]]))
    array([[0.5, 0. ]])
    """
    present = np.isfinite(scores)
    slots = np.maximum(present.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.where(present & (scores > 0), 1.0, 0.0) / slots)


def target_weights(scores: Array, holding_bars: int) -> Array:
    """Target weights ``[D, N]`` after each decision: the mean of the last ``holding_bars`` decisions.

    >>> target_weights(np.array([[1.0], [1.0], [-1.0]]), 2)
    array([[0.5],
           [1. ],
           [0.5]])
    """
    decide = top_fifth if scores.shape[1] >= MIN_CROSS_SECTION else positive_slots
    decided = decide(scores)
    total = decided.copy()
    for lag in range(1, min(holding_bars, decided.shape[0])):
        total[lag:] += decided[:-lag]
    return np.asarray(total / holding_bars)


def simulate(
    predictions: pl.DataFrame,
    bars: pl.DataFrame,
    costs: CostRule,
    *,
    holding_bars: int = 1,
    capital: float = CAPITAL,
) -> pl.DataFrame:
    """Run the portfolio from the first to the last session with predictions.

    ``predictions``: instrument_id, ts_close, session_date, score. ``bars``: adjusted prices, see
    ``price_panel``. Returns a row a bar, the first being the first decision: ts_close, session_date,
    equity, turnover (half of the value traded over equity: a full exchange is 1) and cost (in units of the
    starting equity). Raises DataError for predictions without bars.
    """
    scored = predictions.filter(pl.col("score").is_not_null())
    if scored.is_empty():
        raise NotEnoughData("there are no scores for the portfolio", hint="widen start and end in nofx.toml")
    first, last = scored["session_date"].min(), scored["session_date"].max()
    names = scored["instrument_id"].unique()
    inside = pl.col("session_date").is_between(first, last) & pl.col("instrument_id").is_in(names.implode())
    prices = price_panel(bars.filter(inside))
    decided_us, scores = score_matrix(scored, prices.instruments)
    rows = _run(prices, decided_us, target_weights(scores, holding_bars), costs, capital)
    opening = (int(decided_us[0]), first)
    return pl.DataFrame(
        [(*opening, 1.0, 0.0, 0.0), *rows],
        schema={
            "ts_close": pl.Int64,
            "session_date": pl.Date,
            "equity": pl.Float64,
            "turnover": pl.Float64,
            "cost": pl.Float64,
        },
        orient="row",
    ).with_columns(pl.col("ts_close").cast(UTC_US))


def _run(
    prices: Panel, decided_us: NDArray[np.int64], wants: Array, costs: CostRule, capital: float
) -> list[tuple[int, date, float, float, float]]:
    """Fill each bar with the latest decision closed by its open, then mark to its close."""
    ledger = Ledger.opening(wants.shape[1])
    mark = np.nan_to_num(prices.mark)
    decision = np.searchsorted(decided_us, prices.ts_open_us, side="right") - 1
    schedules = {day: _schedule(costs, day) for day in set(prices.session_date)}
    out = []
    for t in np.flatnonzero(decision >= 0):
        before = mark[t - 1] if t else np.zeros_like(mark[0])
        fill_prices = np.where(np.isfinite(prices.open[t]), prices.open[t], before)
        equity = ledger.equity(fill_prices)
        day = prices.session_date[t]
        schedule = schedules[day]
        fill = ledger.rebalance(
            wants[decision[t]],
            fill_prices,
            prices.can_buy[t],
            prices.can_sell[t],
            schedule,
            schedule.minimum / capital,
        )
        turnover = fill.traded / 2.0 / equity
        out.append((int(prices.ts_close_us[t]), day, ledger.equity(mark[t]), turnover, fill.cost))
    return out


def _schedule(costs: CostRule, day: date) -> Costs:
    return costs(day) if callable(costs) else costs
