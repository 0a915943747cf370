from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.errors import ConfigError
from nofx_pipelines.evaluation.metrics import rank_ic
from nofx_pipelines.models.training import Recipe, last_fold, train, train_baseline, train_final


@pytest.fixture(scope="module")
def world(plant):
    return plant()


@pytest.fixture(scope="module")
def candidate(world):
    return train(*world, Recipe("gbdt", {"trees": 40}, seed=3))


def test_predictions_cover_each_test_once_and_nothing_else(world, candidate):
    frame, folds = world
    for fold, rows in [(last_fold(folds), candidate.hold_out)] + [
        (n, candidate.folds.filter(fold=n)) for n in range(last_fold(folds))
    ]:
        span = folds.filter(fold=fold, role="test")
        inside = frame.filter(
            pl.col("session_date").is_between(span["start"].item(), span["end"].item(), closed="left")
        )
        assert rows.height == inside.height == rows.unique(["instrument_id", "ts_close"]).height
        assert rows["score"].is_finite().all()
    assert candidate.folds.schema == {"fold": pl.Int32, **candidate.hold_out.schema}


def test_what_is_tested_is_never_learned(world):
    frame, folds = world
    start = folds.filter(fold=last_fold(folds), role="test")["start"].item()
    blind = frame.with_columns(
        pl.when(pl.col("session_date") < start).then("forward_return").otherwise(-9.0).alias("forward_return")
    )
    for trained in (train_baseline, lambda *w: train(*w, Recipe("gbdt", {"trees": 20}, seed=1))):
        scores = [trained(rows, folds).hold_out["score"].to_list() for rows in (frame, blind)]
        assert scores[0] == scores[1]


def test_the_candidate_beats_the_ridge_where_an_interaction_is_planted(world, candidate):
    assert rank_ic(candidate.hold_out) > rank_ic(train_baseline(*world).hold_out) + 0.03


def test_the_final_model_is_the_one_that_predicted_the_hold_out(world, candidate):
    again = train_final(*world, Recipe("gbdt", candidate.model.settings, seed=3))
    assert again.to_onnx() == candidate.model.to_onnx()
    ridge = train_final(*world, Recipe("ridge"))
    assert ridge.to_onnx() == train_baseline(*world).model.to_onnx()
    assert np.isfinite(ridge.predict(np.zeros((1, 5)))).all()


def test_unknown_parameters_and_families_are_named(world):
    with pytest.raises(ConfigError, match=r"gbdt has no parameter leaves, shrinkage.*use trees, "):
        train_final(*world, Recipe("gbdt", {"shrinkage": 1, "leaves": 3}))
    with pytest.raises(ConfigError, match=r"'forest' is none of .*known are gbdt, network, ridge"):
        train_final(*world, Recipe("forest"))


def test_folds_fitted_in_two_processes_are_the_same_bits(plant):
    rows, folds = plant()
    recipe = Recipe("gbdt", {"trees": 10}, seed=3)
    one, two = (train(rows, folds, recipe, workers=n) for n in (1, 2))
    assert one.folds.equals(two.folds)
    assert one.hold_out.equals(two.hold_out)
