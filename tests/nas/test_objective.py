"""A trial's worth against Spearman's coefficient by scipy, on models trained apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.models.families.network import train
from nofx_pipelines.models.networks.training_config import TrainingConfig
from nofx_pipelines.nas.objective import Fidelity, NetworkObjective
from nofx_pipelines.nas.space import SearchSpace
from nofx_pipelines.search.fold_rows import FoldRows
from nofx_pipelines.search.trials import Outcome, Trial

SPACE = SearchSpace(features=3, lookbacks=(1, 5), widths=(4, 8), depth=2)
FOLDS = (FoldRows((0, 400), (400, 600)), FoldRows((0, 200), (250, 400)), FoldRows((0, 100), (120, 200)))


@pytest.fixture(scope="module")
def objective(make_rows: Callable[..., Dataset]) -> NetworkObjective:
    quick, full = Fidelity(2, TrainingConfig(epochs=1)), Fidelity(3, TrainingConfig(epochs=2))
    return NetworkObjective(make_rows(sessions=60), FOLDS, SPACE, 3, quick, full)


def _genotype(seed: int = 4) -> tuple[int, ...]:
    return SPACE.random(np.random.default_rng(seed))


@pytest.mark.parametrize("full", [False, True])
def test_it_is_the_mean_rank_ic_of_the_folds_valid_rows(objective: NetworkObjective, full: bool) -> None:
    genotype, fidelity = _genotype(), objective.full if full else objective.quick
    outcome = objective.evaluate(Trial(5, {"genotype": list(genotype), "full": full}, ()))
    expected = []
    for fold in FOLDS[: fidelity.folds]:
        rows = objective.data.take(slice(*fold.train))
        model = train(rows, objective.params(genotype, fidelity), objective.seed)
        valid = objective.data.take(slice(*fold.valid))
        score = model.predict(valid.x[:, -len(model.feature_names) :])
        bars = [valid.ts_close == bar for bar in np.unique(valid.ts_close)]
        expected.append(np.mean([spearmanr(score[bar], valid.y[bar]).statistic for bar in bars]))
    assert outcome.number == 5
    assert outcome.rank_ic == pytest.approx(np.mean(expected), abs=1e-12)
    assert outcome.steps == pytest.approx([np.mean(expected[: k + 1]) for k in range(len(expected))])


def test_no_row_outside_train_and_valid_is_touched(objective: NetworkObjective) -> None:
    """Rows of no fold's train or valid may be anything."""
    trial = Trial(0, {"genotype": list(_genotype()), "full": False}, ())
    first = objective.evaluate(trial)
    x, y = objective.data.x.copy(), objective.data.y.copy()
    used = np.zeros(len(y), dtype=bool)
    for fold in FOLDS[:2]:
        used[slice(*fold.train)] = used[slice(*fold.valid)] = True
    x = np.concatenate([x, np.full((50, x.shape[1]), 99.0)])
    spoiled = dataclasses.replace(
        objective.data,
        x=x,
        **{
            name: np.concatenate([value := getattr(objective.data, name), value[-50:]])
            for name in ("y", "weight", "ts_close", "session_date", "instrument_id")
        },
    )
    assert used.all()
    again = dataclasses.replace(objective, data=spoiled).evaluate(trial)
    assert dataclasses.replace(again, seconds=0.0) == dataclasses.replace(first, seconds=0.0)


def test_a_trial_that_fails_is_an_outcome_with_its_reason(objective: NetworkObjective) -> None:
    outcome = objective.evaluate(Trial(2, {"genotype": [0, 0], "full": False}, ()))
    assert outcome.state == "FAIL"
    assert outcome.reason.startswith("ModelError: a genotype of 2 genes")


def test_a_worker_maps_the_same_objective(objective: NetworkObjective, tmp_path: Path) -> None:
    objective.save(tmp_path)
    mapped = NetworkObjective.load(tmp_path)
    trial = Trial(1, {"genotype": list(_genotype(7)), "full": True}, ())
    first, second = (dataclasses.replace(o.evaluate(trial), seconds=0.0) for o in (objective, mapped))
    assert first == second
    assert (mapped.space, mapped.quick, mapped.full, mapped.folds) == (
        objective.space,
        objective.quick,
        objective.full,
        objective.folds,
    )


def test_only_finalists_are_measured_fully(objective: NetworkObjective) -> None:
    told = Outcome(0, "COMPLETE", steps=(0.1, 0.1))
    assert objective.share(told, full=False) == pytest.approx(2 / 3 / 2)
    assert objective.share(told, full=True) == 1.0
    assert objective.share(Outcome(0, "FAIL"), full=False) == 0.0
    two = dataclasses.replace(objective, folds=FOLDS[:2])
    assert two.share(told, full=False) == pytest.approx(0.5)
