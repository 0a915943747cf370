"""One trial's worth: rank IC on the folds' valid rows, fold by fold, pruned when it falls behind.

Only train and valid rows are ever touched; no fold's test is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.models.dataset import Dataset, thinned
from nofx_pipelines.models.families import gbdt, ridge
from nofx_pipelines.models.families.gbdt import GbdtParams
from nofx_pipelines.models.families.ridge import Ridge, RidgeParams
from nofx_pipelines.models.targets import training_target
from nofx_pipelines.search.fold_rows import FoldRows, load_rows, save_rows
from nofx_pipelines.search.measures import (
    RETURN_BLOCKS,
    active_returns,
    block_means,
    rank_ic,
    sharpe,
    turnover,
)
from nofx_pipelines.search.trials import Outcome, Trial

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Objective:
    """The rows, the folds in the order in which trials see them, and the seed of every fit."""

    data: Dataset
    folds: tuple[FoldRows, ...]
    seed: int
    row_budget: int = 25_000
    """Train rows a fold; above it, whole timestamps are left out at even distances."""
    _prepared: dict[tuple[int, bool, str], _Prepared] = field(default_factory=dict, repr=False)

    def evaluate(self, trial: Trial) -> Outcome:
        """Fit and score fold by fold; never raises, a failure is an outcome with its reason."""
        began = time.perf_counter()
        try:
            outcome = self._walk(trial)
        except Exception as error:  # noqa: BLE001  a bad trial stops alone
            outcome = Outcome(trial.number, "FAIL", reason=f"{type(error).__name__}: {str(error).strip()}")
        return replace(outcome, folds=len(self.folds), seconds=time.perf_counter() - began)

    def _walk(self, trial: Trial) -> Outcome:
        params = GbdtParams(**trial.params)
        scores: list[float] = []
        turnovers: list[float] = []
        sharpes: list[float] = []
        returns: list[Array] = []
        steps: list[float] = []
        for place, threshold in enumerate(trial.thresholds):
            prepared = self._prepare(place, params)
            score = prepared.score(params, self.seed)
            scores.append(prepared.rank_ic(score))
            turnovers.append(prepared.turnover(score))
            active = prepared.active_returns(score)
            sharpes.append(sharpe(active))
            returns.append(block_means(active, RETURN_BLOCKS))
            steps.append(float(np.mean(scores)))
            if threshold is not None and steps[-1] < threshold:
                return Outcome(trial.number, "PRUNED", tuple(steps), turnover=float(np.mean(turnovers)))
        return Outcome(
            trial.number,
            "COMPLETE",
            tuple(steps),
            rank_ic=steps[-1],
            turnover=float(np.mean(turnovers)),
            sharpe=float(np.mean(sharpes)),
            returns=tuple(np.concatenate(returns).tolist()),
        )

    def _prepare(self, place: int, params: GbdtParams) -> _Prepared:
        key = (place, params.crosses, params.target)
        if key not in self._prepared:
            fold = self.folds[place]
            train = thinned(self.data.take(slice(*fold.train)), self.row_budget)
            valid = self.data.take(slice(*fold.valid))
            self._prepared[key] = _Prepared(train, valid, params)
        return self._prepared[key]

    def save(self, folder: Path) -> None:
        """Write what :meth:`load` needs, for workers to map."""
        save_rows(folder, self.data, self.folds)
        np.save(folder / "settings.npy", np.array([self.seed, self.row_budget]))

    @staticmethod
    def load(folder: Path) -> Objective:
        """Map what :meth:`save` wrote."""
        data, folds = load_rows(folder)
        seed, row_budget = np.load(folder / "settings.npy", allow_pickle=False).tolist()
        return Objective(data, folds, seed, row_budget)


@dataclass(eq=False)
class _Prepared:
    """One fold's rows, binned once for all trials with the same crosses and target."""

    train: Dataset
    valid: Dataset
    like: GbdtParams

    @cached_property
    def crosses(self) -> tuple[tuple[int, int], ...]:
        return gbdt.crossed_pairs(self.train.feature_names) if self.like.crosses else ()

    @cached_property
    def target(self) -> Array:
        train = self.train
        return training_target(train.y, train.ts_close, train.instrument_id, self.like.target)

    @cached_property
    def rows(self) -> Any:
        return gbdt.binned(gbdt.design(self.train.x, self.crosses), self.target, self.train.weight)

    @cached_property
    def linear(self) -> Ridge:
        train, params = self.train, RidgeParams(target=self.like.target)
        return ridge.fit_target(train.x, self.target, train.weight, params, train.feature_names)

    def score(self, params: GbdtParams, seed: int) -> Array:
        text = gbdt.boost(self.rows, params, seed)
        return gbdt.Gbdt(text, self.linear, self.crosses, params, self.train.feature_names).predict(
            self.valid.x
        )

    def rank_ic(self, score: Array) -> float:
        return rank_ic(score, self.valid)

    def turnover(self, score: Array) -> float:
        return turnover(score, self.valid)

    def active_returns(self, score: Array) -> Array:
        return active_returns(score, self.valid)
