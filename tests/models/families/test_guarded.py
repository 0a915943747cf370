"""Whatever a plug-in's family does wrong is told with its name, and harms nobody else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nofx_pipelines.errors import PluginError
from nofx_pipelines.models.dataset import Dataset, from_frame
from nofx_pipelines.models.families import family
from nofx_pipelines.models.family import fitter

TEXT = '''
import json
import numpy as np
from nofx_pipelines.models.onnx_graph import INPUT, Part, model_bytes
from nofx_pipelines.models.space import Parameter, SearchSpace


class Mean:
    """The mean of the first two features."""

    family = "mean"

    def __init__(self, names):
        self.feature_names, self.settings = names, {"share": 0.5}

    def predict(self, x):
        return np.nan_to_num(x[:, 0] + x[:, 1]) / 2

    def to_onnx(self):
        part = Part("mean")
        weights = np.zeros((len(self.feature_names), 1))
        weights[:2] = 0.5
        part.then("Where", part.then("IsNaN", INPUT, name="nan"), part.constant("zero", 0.0), INPUT, name="x")
        part.then("MatMul", part.output, part.constant("weights", weights), name="product")
        return model_bytes([part], self.feature_names, self.family)

    def files(self):
        return {"model.json": json.dumps(list(self.feature_names)).encode()}


class MeanFamily:
    name = "mean"
    libraries = ("numpy", "onnx")

    def space(self):
        return SearchSpace("mean", (Parameter("share", "float", 0.0, 1.0),), (0.5,))

    def fit(self, data, params, seed, device):
        return Mean(data.feature_names)

    def restore(self, files):
        return Mean(tuple(json.loads(files["model.json"])))


FAMILY = MeanFamily()
'''


@pytest.fixture(scope="module")
def data(plant) -> Dataset:
    return from_frame(plant(sessions=40)[0])


def write(folder: Path, *changes: tuple[str, str], more: str = "") -> Path:
    text = TEXT
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    (folder / "mean.py").write_text(text + more)
    return folder


def fitted(folder: Path, data: Dataset):
    return family("mean:FAMILY", folder).fit(data, {}, 1, "cpu")


def test_what_does_as_a_family_does_is_let_through(tmp_path: Path, data: Dataset) -> None:
    model = fitted(write(tmp_path), data)
    assert (model.predict(data.x) == np.nan_to_num(data.x[:, 0] + data.x[:, 1]) / 2).all()
    assert model.to_onnx()
    assert (model.family, dict(model.settings)) == ("mean:FAMILY", {"share": 0.5})
    again = family("mean:FAMILY", tmp_path).restore(model.files())
    assert again.feature_names == data.feature_names


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("FAMILY = MeanFamily()", "FAMILY = MeanFamily"),
            "is the class MeanFamily: assign an instance, MeanFamily()",
        ),
        (("def restore(", "def restored("), "has no method restore(files)"),
        (("def space(", "def spaces("), "has no method space()"),
        (('    name = "mean"', "    name = 7"), "has no name"),
        (('libraries = ("numpy", "onnx")', 'libraries = "numpy"'), "names no libraries"),
        (('("numpy", "onnx")', '("numpy", "nowhere")'), "names libraries that are not installed: nowhere"),
        (("import numpy as np", "import nowhere"), "raised ModuleNotFoundError when importing it"),
        (("FAMILY = MeanFamily()", "FAMILY = MeanFamily("), "raised SyntaxError when importing it"),
    ],
)
def test_what_is_no_family_is_refused_at_once(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    with pytest.raises(PluginError) as refused:
        family("mean:FAMILY", write(tmp_path, change))
    text = str(refused.value)
    assert text.startswith(f"plug-in 'mean:FAMILY' (model family, {(tmp_path / 'mean.py').resolve()})")
    assert words in text
    assert "other universes and stages go on. Next: mend the file, then nofx run" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("return Mean(data.feature_names)", "raise KeyError('rows')"),
            "raised KeyError when fitting it: 'rows'",
        ),
        (
            ("return Mean(data.feature_names)", "data.x[0, 0] = 1.0"),
            "raised ValueError when fitting it: .*read-only",
        ),
        (
            ("return Mean(data.feature_names)", "return np.zeros(3)"),
            "fits a ndarray without predict, to_onnx, files",
        ),
        (
            ("return Mean(data.feature_names)", "return Mean(('a',))"),
            "feature_names are not the columns of its rows",
        ),
        (('{"share": 0.5}', '{"share": object()}'), "settings are no JSON values"),
        (('{"share": 0.5}', "None"), "settings are no JSON values"),
    ],
)
def test_a_fit_that_fails_or_gives_no_model_is_refused(
    tmp_path: Path, data: Dataset, change: tuple[str, str], words: str
) -> None:
    before = data.x.copy()
    with pytest.raises(PluginError, match=rf"plug-in 'mean:FAMILY' .* {words}"):
        fitted(write(tmp_path, change), data)
    np.testing.assert_array_equal(data.x, before)


PREDICTION = "np.nan_to_num(x[:, 0] + x[:, 1]) / 2"


@pytest.mark.parametrize(
    ("prediction", "words"),
    [
        ("x[:5, 0]", r"predicts an array of shape \(5,\) for 480 rows"),
        ("x[:, :1]", r"predicts an array of shape \(480, 1\) for 480 rows"),
        ("0.5", r"predicts an array of shape \(\) for 480 rows"),
        ("x[:, 0] * np.nan", "predicts 480 scores of 480 that are not finite"),
        ("np.where(x[:, 0] > 0.4, np.inf, 1.0)", r"predicts \d+ scores of 480 that are not finite"),
        ("['high'] * len(x)", "raised ValueError when predicting: could not convert"),
        ("x.fill(0)", "raised ValueError when predicting: .*read-only"),
        ("1 / 0", "raised ZeroDivisionError when predicting"),
    ],
)
def test_scores_that_are_none_are_refused(tmp_path: Path, data: Dataset, prediction: str, words: str) -> None:
    model = fitted(write(tmp_path, (PREDICTION, prediction)), data)
    with pytest.raises(PluginError, match=f"plug-in 'mean:FAMILY' .* {words}"):
        model.predict(data.x)


EXPORT = "return model_bytes([part], self.feature_names, self.family)"


@pytest.mark.parametrize(
    ("export", "words"),
    [
        ("return b'no model'", "exports ONNX that does not load or run: "),
        ("return None", "exports ONNX that is NoneType, not bytes"),
        (
            "return model_bytes([part], self.feature_names[:-1], self.family)",
            "raised InferenceError when exporting it to ONNX: ",
        ),
        ("raise OSError('disk')", "raised OSError when exporting it to ONNX: disk"),
        (
            "return model_bytes([part], [n.upper() for n in self.feature_names], self.family)",
            "exports ONNX that does not name its features: build it with models.onnx_graph.model_bytes",
        ),
        (
            "part.then('Cast', part.output, name='cast', to=1); " + EXPORT,
            "raised .* when exporting it to ONNX|does not load or run",
        ),
    ],
)
def test_onnx_that_cannot_be_served_is_refused(
    tmp_path: Path, data: Dataset, export: str, words: str
) -> None:
    model = fitted(write(tmp_path, (EXPORT, export)), data)
    with pytest.raises(PluginError, match=f"plug-in 'mean:FAMILY' .* ({words})"):
        model.to_onnx()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("'../weights'", "b''", "names a file '../weights'"),
        ("'model.onnx'", "b''", "names a file 'model.onnx'"),
        ("'a/b.json'", "b''", "names a file 'a/b.json'"),
        ("'model.json'", "'text'", "gives str, not bytes, for file model.json"),
    ],
)
def test_files_are_bytes_under_plain_names(
    tmp_path: Path, data: Dataset, name: str, content: str, words: str
) -> None:
    change = ('{"model.json": json.dumps(list(self.feature_names)).encode()}', f"{{{name}: {content}}}")
    model = fitted(write(tmp_path, change), data)
    with pytest.raises(PluginError, match=words):
        model.files()


def test_a_space_of_another_kind_is_refused(tmp_path: Path) -> None:
    change = ('SearchSpace("mean", (Parameter("share", "float", 0.0, 1.0),), (0.5,))', '{"share": (0, 1)}')
    with pytest.raises(
        PluginError, match=r"'mean:FAMILY' .* has a space\(\) that gives dict, not a SearchSpace"
    ):
        family("mean:FAMILY", write(tmp_path, change)).space()


FITTER = """

class Shared:
    def __init__(self, train):
        self.train, self.fits = train, 0

    def fit(self, params, seed):
        self.fits += 1
        if params.get("share") == 1.0:
            raise RuntimeError("too much")
        model = Mean(self.train.feature_names)
        model.settings = {"fits": self.fits}
        return model


MeanFamily.fitter = lambda self, train: Shared(train)
"""


def test_a_fitter_of_its_own_is_used_by_studies_and_guarded(tmp_path: Path, data: Dataset) -> None:
    of_rows = fitter(family("mean:FAMILY", write(tmp_path, more=FITTER)), data)
    assert [dict(of_rows.fit({}, 1).settings) for _ in range(2)] == [{"fits": 1}, {"fits": 2}]
    with pytest.raises(PluginError, match=r"'mean:FAMILY' .* raised RuntimeError when fitting it: too much"):
        of_rows.fit({"share": 1.0}, 1)


def test_without_one_each_trial_is_a_fit(tmp_path: Path, data: Dataset) -> None:
    of_rows = fitter(family("mean:FAMILY", write(tmp_path)), data, "cpu")
    assert dict(of_rows.fit({}, 1).settings) == {"share": 0.5}


def test_settings_are_what_json_makes_of_them(tmp_path: Path, data: Dataset) -> None:
    """As they are recorded, they train the model again."""
    model = fitted(write(tmp_path, ('{"share": 0.5}', '{"window": (1, 2)}')), data)
    assert dict(model.settings) == json.loads(json.dumps({"window": (1, 2)})) == {"window": [1, 2]}
