from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nofx_pipelines.models.dataset import from_frame
from nofx_pipelines.models.families import gbdt
from nofx_pipelines.models.families.gbdt import GbdtParams
from nofx_pipelines.registry.onnx_scorer import OnnxScorer

VARIANTS = {
    "crosses and ridge": GbdtParams(trees=40),
    "trees alone": GbdtParams(trees=40, crosses=False, linear_share=0.0),
    "deep, no randomness": GbdtParams(trees=25, max_depth=6, min_leaf_share=0.005, extra_trees=False),
    "no split is possible": GbdtParams(trees=3, min_leaf_share=0.9),
}


@pytest.fixture(scope="module")
def data(plant):
    found = from_frame(plant(sessions=120)[0])
    x = found.x.copy()
    x[:, 3] = np.round(x[:, 3])  # many exact zeros and ties: thresholds of ±1e-35
    return dataclasses.replace(found, x=x)


@pytest.fixture(scope="module", params=VARIANTS)
def fitted(request, data):
    model = gbdt.fit(data, VARIANTS[request.param], seed=3)
    return model, OnnxScorer(model.to_onnx())


def at_thresholds(model, data):
    """Rows with one feature at a split's threshold, one step of a double below or above it."""
    trees, rows = model.trees, []
    width, rng = data.x.shape[1], np.random.default_rng(0)
    for feature, threshold in set(zip(trees.feature.tolist(), trees.threshold.tolist(), strict=True)):
        for value in (threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf)):
            row = data.x[rng.integers(len(data))].copy()
            row[feature % width] = value
            rows.append(row)
    return np.array(rows)


def test_parity_on_rows_seen_and_at_every_threshold(fitted, data):
    model, scorer = fitted
    for x in (data.x, at_thresholds(model, data)):
        np.testing.assert_allclose(scorer.predict(x), model.predict(x), rtol=0, atol=1e-12)


ELEMENTS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True, width=64),
    st.sampled_from([0.0, -0.0, 1e-35, -1e-35, 1e-30, 1e308, -1e308, 5e-324]),
    st.floats(-0.5, 0.5),
)


@settings(max_examples=60, deadline=None)
@given(x=arrays(np.float64, (8, 5), elements=ELEMENTS))
def test_parity_on_anything(fitted, x):
    model, scorer = fitted
    np.testing.assert_allclose(scorer.predict(x), model.predict(x), rtol=0, atol=1e-9)


def test_a_row_scores_the_same_bits_alone_and_in_a_batch(fitted, data):
    _, scorer = fitted
    alone = np.concatenate([scorer.predict(row[None]) for row in data.x[:50]])
    assert (alone == scorer.predict(data.x)[:50]).all()


def test_float32_rows_are_taken_and_scored_as_their_doubles(fitted, data):
    model, scorer = fitted
    narrow = data.x.astype(np.float32)
    np.testing.assert_allclose(scorer.predict(narrow), model.predict(narrow.astype(np.float64)), atol=1e-12)


def test_the_graph_holds_standard_operators_and_its_feature_names(fitted, data):
    model, scorer = fitted
    graph = onnx.load_from_string(model.to_onnx())
    assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx.ml"}
    assert (scorer.feature_names, scorer.family) == (data.feature_names, "gbdt")


def test_no_rows_give_no_scores(fitted, data):
    assert fitted[1].predict(data.x[:0]).shape == (0,)
