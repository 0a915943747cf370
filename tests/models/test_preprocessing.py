from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nofx_pipelines.models.preprocessing import CLIP, Preprocessing, fit

VALUES = st.one_of(st.just(np.nan), st.floats(-1e6, 1e6))


def test_equals_sklearn_s_imputer_and_scaler():
    rng = np.random.default_rng(4)
    train, new = (rng.normal(3, 7, size=(200, 4)) for _ in range(2))
    train[rng.random(train.shape) < 0.2] = np.nan
    new[rng.random(new.shape) < 0.2] = np.nan
    oracle = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(train)
    np.testing.assert_allclose(fit(train).apply(new), np.clip(oracle.transform(new), -5, 5), atol=1e-12)


@given(arrays(np.float64, (7, 3), elements=VALUES), arrays(np.float64, (4, 3), elements=VALUES))
def test_output_is_finite_and_json_restores_the_bits(train, new):
    found = fit(train)
    out = found.apply(new)
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 5
    assert (Preprocessing.from_json(found.to_json()).apply(new) == out).all()


def test_new_rows_do_not_change_what_was_fitted():
    train = np.random.default_rng(1).normal(size=(50, 2))
    found = fit(train)
    before = found.to_json()
    found.apply(np.full((5, 2), 1e308))
    assert found.to_json() == before == fit(train.copy()).to_json()


def test_columns_without_values_or_variation_become_zero():
    train = np.array([[np.nan, 4.2], [np.nan, 4.2]])
    assert fit(train).apply(train).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_an_infinite_value_is_unknown_to_the_fit_and_cut_when_applied():
    x = np.array([[1.0], [np.inf], [3.0], [-np.inf], [np.nan]])
    found = fit(x)
    alike = fit(np.where(np.isinf(x), np.nan, x))
    np.testing.assert_array_equal(found.apply(x), alike.apply(x))
    assert np.isfinite(found.scale).all()
    assert found.apply(x)[[1, 3], 0].tolist() == [CLIP, -CLIP]
