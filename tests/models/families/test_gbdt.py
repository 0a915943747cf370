from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nofx_pipelines.evaluation.metrics import rank_ic
from nofx_pipelines.models.dataset import from_frames
from nofx_pipelines.models.families import gbdt, ridge
from nofx_pipelines.models.families.gbdt import Gbdt, GbdtParams

PARAMS = GbdtParams(trees=30)


@pytest.fixture(scope="module")
def split(plant):
    frame, folds = plant()
    last = folds["fold"].max()
    return from_frames(frame, folds, last, "train"), from_frames(frame, folds, last, "test")


@pytest.fixture(scope="module")
def model(split):
    return gbdt.fit(split[0], PARAMS, seed=5)


def test_same_rows_parameters_and_seed_give_the_same_bytes(split, model):
    again = gbdt.fit(split[0], PARAMS, seed=5)
    assert again.text == model.text
    assert again.to_onnx() == model.to_onnx()
    assert gbdt.fit(split[0], PARAMS, seed=6).text != model.text


def test_the_interaction_that_a_ridge_cannot_see_is_found(split, model):
    train, test = split
    ours = rank_ic(test.predictions(model.predict(test.x)))
    linear = rank_ic(test.predictions(ridge.fit(train).predict(test.x)))
    uncrossed = dataclasses.replace(PARAMS, crosses=False)
    without = rank_ic(test.predictions(gbdt.fit(train, uncrossed, seed=5).predict(test.x)))
    assert ours > linear + 0.03
    assert ours > without


def test_one_tree_equals_a_hand_made_least_squares_split():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1))
    target = np.where(x[:, 0] > 0.3, 2.0, -1.0)
    rows = gbdt.binned(x, target, np.ones(400))
    params = GbdtParams(
        trees=1, learning_rate=1.0, max_depth=1, bagging_fraction=1.0, feature_fraction=1.0,
        lambda_l2=0.0, extra_trees=False, min_leaf_share=0.05,
    )  # fmt: skip
    import lightgbm

    booster = lightgbm.Booster(model_str=gbdt.boost(rows, params, 1))
    threshold = gbdt.flatten(booster).threshold[0]
    assert abs(threshold - 0.3) < 0.1  # within one of 63 bins
    found = booster.predict(x)
    for side in (x[:, 0] <= threshold, x[:, 0] > threshold):
        assert found[side] == pytest.approx(target[side].mean(), abs=1e-6)


def test_files_restore_a_model_that_scores_and_exports_the_same(split, model):
    restored = Gbdt.from_files(model.files())
    assert (restored.predict(split[1].x) == model.predict(split[1].x)).all()
    assert restored.to_onnx() == model.to_onnx()


def test_tiny_values_count_as_zero_and_crosses_are_products():
    x = np.array([[1e-31, 2.0, 3.0], [np.nan, 0.5, -4.0]])
    out = gbdt.design(x, ((0, 1), (1, 2)))
    np.testing.assert_array_equal(out[0], [0.0, 2.0, 3.0, 0.0, 6.0])
    np.testing.assert_array_equal(out[1], [np.nan, 0.5, -4.0, np.nan, -2.0])
