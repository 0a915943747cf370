"""The compiled forest against scikit-learn's own scores."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from nofx_pipelines.anomaly.conditioning import NAMES
from nofx_pipelines.anomaly.detectors.isolation_forest import DETECTOR, Forest, average_path
from nofx_pipelines.anomaly.detectors.protocol import BarWindow
from nofx_pipelines.errors import NotEnoughData


@pytest.mark.parametrize("rows", [2, 3, 100, 255, 2_000])
def test_scores_are_scikit_learns(rows: int) -> None:
    rng = np.random.default_rng(rows)
    x = rng.standard_t(3, size=(rows, 5))
    x[:, 3] = np.round(x[:, 3])  # ties
    x[:, 4] = 1.0  # a constant column
    fresh = np.concatenate([x, rng.normal(size=(777, 5)) * 3])
    peer = IsolationForest(n_estimators=100, max_samples=min(256, rows), random_state=3).fit(x)
    forest = Forest.fit(x, seed=3)
    np.testing.assert_allclose(forest.statistics(fresh), -peer.score_samples(fresh), atol=1e-9)


def test_values_at_a_threshold_go_the_way_they_went_in_the_fit() -> None:
    x = np.random.default_rng(4).integers(0, 4, size=(400, 3)).astype(float)
    peer = IsolationForest(n_estimators=100, max_samples=256, random_state=5).fit(x)
    forest = Forest.fit(x, seed=5)
    edges = np.concatenate([tree.tree_.threshold[tree.tree_.feature >= 0] for tree in peer.estimators_])
    fresh = np.repeat(edges[:900, None], 3, axis=1)
    np.testing.assert_allclose(forest.statistics(fresh), -peer.score_samples(fresh), atol=1e-9)


def test_a_row_does_not_depend_on_its_batch() -> None:
    x = np.random.default_rng(6).normal(size=(1_500, 4))
    forest = Forest.fit(x, seed=1)
    alone = np.array([forest.statistics(x[k : k + 1])[0] for k in range(0, 1_500, 37)])
    np.testing.assert_array_equal(forest.statistics(x)[::37], alone)


def test_credits_add_up_to_what_the_path_was_shorter() -> None:
    x = np.random.default_rng(7).normal(size=(600, 4))
    forest = Forest.fit(x, seed=2)
    usual = average_path(np.array([256]))[0]
    depth = -np.log2(forest.statistics(x)) * usual
    np.testing.assert_allclose(forest.attribution(x).sum(axis=1), usual - depth, atol=1e-9)


def test_the_feature_that_sticks_out_gets_the_credit() -> None:
    rng = np.random.default_rng(8)
    forest = Forest.fit(rng.normal(size=(4_000, 6)), seed=3)
    odd = rng.normal(size=(60, 6)) * 0.3
    where = rng.integers(0, 6, size=60)
    odd[np.arange(60), where] = 7.0
    assert (forest.attribution(odd).argmax(axis=1) == where).mean() > 0.9


def test_the_same_seed_gives_the_same_forest() -> None:
    x = np.random.default_rng(9).normal(size=(500, 3))
    np.testing.assert_array_equal(Forest.fit(x, 4).threshold, Forest.fit(x, 4).threshold)


def test_one_row_is_refused() -> None:
    with pytest.raises(NotEnoughData, match="needs two rows, not 1"):
        Forest.fit(np.ones((1, 3)), 1)


def test_a_reference_without_a_known_bar_is_refused() -> None:
    unknown = BarWindow.of_features(np.full((len(NAMES), 50, 1, 3), np.nan))
    with pytest.raises(NotEnoughData, match="needs two rows, not 0"):
        DETECTOR.fit(unknown, slice(0, 50), 1)


def test_bars_score_as_rows_and_unknown_ones_do_not() -> None:
    z = np.random.default_rng(11).normal(size=(len(NAMES), 300, 1, 2))
    z[:, 299, 0, 1] = np.nan
    z[1:, 298, 0, 0] = np.nan
    bars = BarWindow.of_features(z)
    scores = DETECTOR.fit(bars, slice(0, 250), 3).score(bars, slice(250, 300))
    rows = z[:, :250].reshape(len(NAMES), -1).T
    peer = IsolationForest(n_estimators=100, max_samples=256, random_state=3).fit(rows)
    last = np.nan_to_num(z[:, 298, 0].T)  # an unknown feature is an ordinary one
    np.testing.assert_allclose(scores[48, 0], -peer.score_samples(last), atol=1e-9)
    assert np.isnan(scores[49, 0, 1])
    assert np.isfinite(scores).sum() == scores.size - 1
