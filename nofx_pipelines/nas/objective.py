"""What an architecture is worth: rank IC on the valid rows of walk-forward folds, as in ``hpo``."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.models.families.network import NetworkParams, train
from nofx_pipelines.models.networks.training_config import TrainingConfig
from nofx_pipelines.nas.space import SearchSpace
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


@dataclass(frozen=True)
class Fidelity:
    """How thoroughly a trial is measured: the latest ``folds`` folds and the training."""

    folds: int
    training: TrainingConfig


@dataclass(frozen=True, eq=False)
class NetworkObjective:
    """Rows with the columns of the longest window, the folds (latest first), the space and the seed.

    A trial's parameters are ``genotype`` and ``full``: False for the search's fidelity, True for the one by
    which a finalist is compared with other models.
    """

    data: Dataset
    folds: tuple[FoldRows, ...]
    space: SearchSpace
    seed: int
    quick: Fidelity
    full: Fidelity
    device: str = "cpu"

    def evaluate(self, trial: Trial) -> Outcome:
        """Fit and score fold by fold; never raises, a failure is an outcome with its reason."""
        began = time.perf_counter()
        fidelity = self.full if trial.params["full"] else self.quick
        try:
            outcome = self._walk(trial, fidelity)
        except Exception as error:  # noqa: BLE001  a bad trial stops alone
            outcome = Outcome(trial.number, "FAIL", reason=f"{type(error).__name__}: {str(error).strip()}")
        return replace(outcome, folds=len(self.folds), seconds=time.perf_counter() - began)

    def share(self, outcome: Outcome, *, full: bool) -> float:
        """How much of the full measurement a trial had: 1 of a finalist, less of any other.

        The share of the folds times that of the epochs: a short history may have no more folds than a quick
        trial takes.
        """
        if full:
            return 1.0
        folds = len(outcome.steps) / min(self.full.folds, len(self.folds))
        return folds * self.quick.training.epochs / self.full.training.epochs

    def params(self, genotype: tuple[int, ...], fidelity: Fidelity) -> NetworkParams:
        """What the network of a genotype is fitted with."""
        return NetworkParams(self.space.decode(genotype).to_json(), fidelity.training, self.device)

    def _walk(self, trial: Trial, fidelity: Fidelity) -> Outcome:
        params = self.params(tuple(trial.params["genotype"]), fidelity)
        scores, turnovers, sharpes, returns, steps = [], [], [], [], []
        for fold in self.folds[: fidelity.folds]:
            model = train(self.data.take(slice(*fold.train)), params, self.seed)
            valid = self.data.take(slice(*fold.valid))
            score = model.predict(valid.x[:, -len(model.feature_names) :])
            active = active_returns(score, valid)
            scores.append(rank_ic(score, valid))
            turnovers.append(turnover(score, valid))
            sharpes.append(sharpe(active))
            returns.append(block_means(active, RETURN_BLOCKS))
            steps.append(float(np.mean(scores)))
        return Outcome(
            trial.number,
            "COMPLETE",
            tuple(steps),
            rank_ic=steps[-1],
            turnover=float(np.mean(turnovers)),
            sharpe=float(np.mean(sharpes)),
            returns=tuple(np.concatenate(returns).tolist()),
        )

    def save(self, folder: Path) -> None:
        """Write what :meth:`load` needs, for workers to map."""
        save_rows(folder, self.data, self.folds)
        settings = {
            "space": asdict(self.space),
            "seed": self.seed,
            "quick": asdict(self.quick),
            "full": asdict(self.full),
            "device": self.device,
        }
        (folder / "objective.json").write_text(json.dumps(settings))

    @staticmethod
    def load(folder: Path) -> NetworkObjective:
        """Map what :meth:`save` wrote."""
        data, folds = load_rows(folder)
        settings = json.loads((folder / "objective.json").read_text())
        space: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in settings["space"].items()
        }
        return NetworkObjective(
            data,
            folds,
            SearchSpace(**space),
            settings["seed"],
            _fidelity(settings["quick"]),
            _fidelity(settings["full"]),
            settings["device"],
        )


def _fidelity(values: Mapping[str, Any]) -> Fidelity:
    return Fidelity(values["folds"], TrainingConfig(**values["training"]))
