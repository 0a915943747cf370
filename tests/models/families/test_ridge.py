from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge

from nofx_pipelines.models.dataset import from_frame
from nofx_pipelines.models.families import ridge
from nofx_pipelines.models.families.ridge import Ridge, RidgeParams
from nofx_pipelines.models.targets import training_target
from nofx_pipelines.registry.onnx_scorer import OnnxScorer


@pytest.fixture(scope="module")
def data(plant):
    found = from_frame(plant(sessions=80)[0])
    weight = np.random.default_rng(2).uniform(0.2, 1.0, len(found))
    return type(found)(**{**vars(found), "weight": weight})


@pytest.mark.parametrize("penalty", [0.0, 0.03, 3.0])
def test_equals_sklearn_with_the_penalty_in_units_of_the_weight(data, penalty):
    model = ridge.fit(data, RidgeParams(penalty=penalty))
    z = model.preprocessing.apply(data.x)
    y = training_target(data.y, data.ts_close, data.instrument_id, "rank")
    oracle = SklearnRidge(alpha=penalty * data.weight.sum()).fit(z, y, sample_weight=data.weight)
    np.testing.assert_allclose(model.coefficients, oracle.coef_, atol=1e-10)
    np.testing.assert_allclose(model.predict(data.x), oracle.predict(z), atol=1e-10)


def test_onnx_scores_as_the_model_does(data):
    model = ridge.fit(data)
    extremes = [np.nan, np.inf, -np.inf, 1e308, -1e308, 0.0, 5e-324]
    x = np.vstack([data.x, [[value] * data.x.shape[1] for value in extremes]])
    found = OnnxScorer(model.to_onnx())
    assert found.feature_names == model.feature_names
    np.testing.assert_allclose(found.predict(x), model.predict(x), atol=1e-12)


def test_files_restore_the_bits_and_hold_no_pickle(data):
    model = ridge.fit(data)
    files = model.files()
    assert (Ridge.from_files(files).predict(data.x) == model.predict(data.x)).all()
    assert json.loads(files["model.json"])["family"] == "ridge"
    assert b"cbuiltins" not in b"".join(files.values())
    assert Ridge.from_files(files).to_onnx() == model.to_onnx()


def test_weights_are_the_same_bits_whatever_the_number_of_threads():
    code = (
        "import numpy as np, hashlib; from nofx_pipelines.models.families import ridge;"
        "r = np.random.default_rng(0); x = r.normal(size=(9000, 30));"
        "m = ridge.fit_target(x, r.normal(size=9000), np.ones(9000), ridge.RidgeParams(),"
        " tuple(map(str, range(30))));"
        "print(hashlib.sha256(m.coefficients.tobytes()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"OPENBLAS_NUM_THREADS": n}, capture_output=True, check=True
        ).stdout
        for n in ("1", "2")
    }
    assert len(seen) == 1
