"""One trial's worth: rank IC on the folds' valid rows, fold by fold, pruned when it falls behind.

Only train and valid rows are ever touched; no fold's test is.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.models import families
from nofx_pipelines.models.dataset import Dataset, thinned
from nofx_pipelines.models.family import Fitter, fitter
from nofx_pipelines.search.fold_rows import ROW_BUDGET, FoldRows, load_rows, save_rows
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
    """The family by name, the rows, the folds in the order in which trials see them, every fit's seed."""

    family: str
    data: Dataset
    folds: tuple[FoldRows, ...]
    seed: int
    row_budget: int = ROW_BUDGET
    """Train rows a fold; above it, whole timestamps are left out at even distances."""
    plugins: Path | None = None
    """The home's folder of plug-ins."""
    device: str = "cpu"
    _prepared: dict[int, tuple[Fitter, Dataset]] = field(default_factory=dict, repr=False)

    def evaluate(self, trial: Trial) -> Outcome:
        """Fit and score fold by fold; never raises, a failure is an outcome with its reason."""
        began = time.perf_counter()
        try:
            outcome = self._walk(trial)
        except Exception as error:  # noqa: BLE001  a bad trial stops alone
            outcome = Outcome(trial.number, "FAIL", reason=f"{type(error).__name__}: {str(error).strip()}")
        return replace(outcome, folds=len(self.folds), seconds=time.perf_counter() - began)

    def _walk(self, trial: Trial) -> Outcome:
        scores: list[float] = []
        turnovers: list[float] = []
        sharpes: list[float] = []
        returns: list[Array] = []
        steps: list[float] = []
        for place, threshold in enumerate(trial.thresholds):
            of_fold, valid = self._fold(place)
            score = of_fold.fit(trial.params, self.seed).predict(valid.x)
            scores.append(rank_ic(score, valid))
            turnovers.append(turnover(score, valid))
            active = active_returns(score, valid)
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

    def _fold(self, place: int) -> tuple[Fitter, Dataset]:
        """What fits models to a fold's train rows, and its valid rows; the same for all trials."""
        if place not in self._prepared:
            fold = self.folds[place]
            train = thinned(self.data.take(slice(*fold.train)), self.row_budget)
            family = families.family(self.family, self.plugins)
            self._prepared[place] = fitter(family, train, self.device), self.data.take(slice(*fold.valid))
        return self._prepared[place]

    def save(self, folder: Path) -> None:
        """Write what :meth:`load` needs, for workers to map."""
        save_rows(folder, self.data, self.folds)
        settings = {
            "family": self.family,
            "seed": self.seed,
            "row_budget": self.row_budget,
            "plugins": None if self.plugins is None else str(self.plugins),
            "device": self.device,
        }
        (folder / "objective.json").write_text(json.dumps(settings))

    @staticmethod
    def load(folder: Path) -> Objective:
        """Map what :meth:`save` wrote."""
        data, folds = load_rows(folder)
        settings = json.loads((folder / "objective.json").read_text())
        plugins = settings["plugins"]
        return Objective(
            settings["family"],
            data,
            folds,
            settings["seed"],
            settings["row_budget"],
            None if plugins is None else Path(plugins),
            settings["device"],
        )
