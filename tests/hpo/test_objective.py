from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nofx_pipelines.evaluation import metrics
from nofx_pipelines.hpo.objective import Objective
from nofx_pipelines.models.families import gbdt
from nofx_pipelines.models.families.gbdt import GbdtParams
from nofx_pipelines.search.fold_rows import study_rows
from nofx_pipelines.search.trials import Outcome, Trial

TREES = {"trees": 15}


@pytest.fixture(scope="module")
def world(plant):
    return plant()


@pytest.fixture(scope="module")
def objective(world):
    return Objective("gbdt", *study_rows(*world), 5, row_budget=10**9)


def test_steps_are_running_means_of_models_fitted_on_the_folds_train(objective):
    outcome = objective.evaluate(Trial(0, TREES, (None, None, None)))
    scores = []
    for rows in objective.folds:
        model = gbdt.fit(objective.data.take(slice(*rows.train)), GbdtParams(**TREES), seed=5)
        valid = objective.data.take(slice(*rows.valid))
        scores.append(metrics.rank_ic(valid.predictions(model.predict(valid.x))))
    expected = np.cumsum(scores) / np.arange(1, 4)
    assert outcome.state == "COMPLETE"
    np.testing.assert_allclose(outcome.steps, expected, atol=1e-12)
    assert outcome.rank_ic == outcome.steps[-1]


def test_a_trial_stops_at_the_fold_where_it_falls_behind(objective):
    whole = objective.evaluate(Trial(0, TREES, (None, None, None)))
    for step in (0, 1):
        limits = [None, None, None]
        limits[step] = whole.steps[step] + 1e-9
        pruned = objective.evaluate(Trial(1, TREES, tuple(limits)))
        assert (pruned.state, pruned.steps) == ("PRUNED", whole.steps[: step + 1])
        limits[step] = whole.steps[step]  # not below: goes on
        assert objective.evaluate(Trial(2, TREES, tuple(limits))).state == "COMPLETE"


def test_a_trial_that_cannot_run_fails_with_its_reason(objective):
    outcome = objective.evaluate(Trial(4, {"trees": 5, "lambda_l2": -1.0}, (None, None, None)))
    assert outcome.state == "FAIL"
    assert "lambda_l2" in outcome.reason
    assert Outcome.from_dict(outcome.as_dict()) == outcome


def test_what_was_saved_scores_the_same(objective, tmp_path):
    objective.save(tmp_path)
    trial = Trial(0, TREES, (None, None, None))
    mapped = Objective.load(tmp_path)
    found = mapped.evaluate(trial)
    assert dataclasses.replace(found, seconds=0) == dataclasses.replace(objective.evaluate(trial), seconds=0)
    assert (mapped.family, mapped.seed, mapped.row_budget, mapped.plugins) == ("gbdt", 5, 10**9, None)
