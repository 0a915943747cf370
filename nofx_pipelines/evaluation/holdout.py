"""The last fold's test with everything that judging a model on it needs: prices, costs, calendar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.evaluation.evaluate import Evaluation, Trials, evaluate
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.adjust import adjusted, stored_factors
from nofx_pipelines.market.rules import CostSchedule, costs
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.models.dataset import Dataset, feature_columns, from_frames
from nofx_pipelines.models.training import last_fold
from nofx_pipelines.models.window_columns import parse, windowed

_PRICES = (
    "instrument_id",
    "ts_open",
    "ts_close",
    "session_date",
    "open",
    "close",
    "status",
    "limit_up",
    "limit_down",
)


@dataclass(frozen=True, eq=False)
class HoldOut:
    """The rows of the hold-out, the adjusted bars around them and the market's dated costs."""

    rows: Dataset
    bars: pl.DataFrame
    costs: Callable[[date], CostSchedule]
    sessions_per_year: float
    universe: UniverseConfig

    def inputs(self, names: Sequence[str]) -> NDArray[np.float64]:
        """The columns ``names`` of the rows, ``[N, F]``."""
        return self.rows.x[:, [self.rows.feature_names.index(name) for name in names]]

    def evaluate(self, predictions: pl.DataFrame, trials: Trials | None = None) -> Evaluation:
        """Judge predictions of these rows; the seed and the interval are those of the gates."""
        gates = self.universe.gates
        return evaluate(
            predictions,
            self.bars,
            self.costs,
            horizon=self.universe.labels.horizon,
            holding_bars=self.universe.labels.horizon,
            periods_per_year=self.sessions_per_year,
            confidence=gates.confidence,
            resamples=gates.resamples,
            seed=gates.seed,
            trials=trials,
        )


def hold_out(lake: Lake, universe: UniverseConfig, names: Iterable[str] = ()) -> HoldOut:
    """Read the hold-out of a universe's training set: its features, and the window columns among ``names``.

    Of ``names`` whose features are no longer computed nothing is read.
    """
    training_set = lake.table(universe.name, "training_set").scan().collect()
    known = feature_columns(training_set)
    lags = [name for name in names if parse(name)[1] and parse(name)[0] in known]
    training_set = windowed(lake, universe.name, training_set, tuple(dict.fromkeys([*known, *lags])))
    folds = lake.table(universe.name, "folds").scan().collect()
    last = last_fold(folds)
    start = folds.filter(pl.col("fold") == last, pl.col("role") == "test")["start"].to_list()[0]
    bars = lake.table(universe.name, "bars").scan(start=start)
    actions = lake.table(universe.market, "corporate_actions")
    if actions.exists():
        factors = stored_factors(lake, universe.name, universe.market)
        bars = adjusted(bars, actions.scan().collect(), factors)
    trading = calendar(universe.market)
    return HoldOut(
        rows=from_frames(training_set, folds, last, "test"),
        bars=bars.select(_PRICES).collect(),
        costs=dated_costs(universe.market, board_of(lake, universe)),
        sessions_per_year=trading.bars_per_year("1d"),
        universe=universe,
    )


def board_of(lake: Lake, universe: UniverseConfig) -> str:
    """The board of most of a universe's instruments: its costs stand for all of them.

    Fees differ between boards by fractions of a basis point at most; spot and perpetuals do not mix.
    """
    ids = lake.table(universe.name, "bars").scan().select("instrument_id").unique().collect()
    listed = lake.table(universe.market, "instruments").scan().select("instrument_id", "board").unique()
    boards = listed.collect().join(ids, on="instrument_id").group_by("board").agg(pl.len().alias("n"))
    return str(boards.sort("n", "board", descending=[True, False])["board"][0])


def dated_costs(market: str, board: str) -> Callable[[date], CostSchedule]:
    """The costs in force on each day, remembered."""

    @cache
    def of(day: date) -> CostSchedule:
        return costs(market, board, day)

    return of
