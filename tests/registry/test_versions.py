from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import onnx
import pytest

from nofx_pipelines.errors import IntegrityError, ModelError, ModelNotFound
from nofx_pipelines.models.dataset import from_frame
from nofx_pipelines.models.families import gbdt, ridge
from nofx_pipelines.models.families.gbdt import Gbdt, GbdtParams
from nofx_pipelines.registry.lineage import Lineage
from nofx_pipelines.registry.tracking import Tracker

LINEAGE = Lineage(
    universe="cn",
    family="gbdt",
    kind="candidate",
    params={"trees": 25},
    seed=3,
    data_versions={"cn/training_set": 4, "cn/folds": 5},
    code_version="abc",
    run_id="dagster-1",
)


@pytest.fixture(scope="module")
def tracker(mlflow_folder, tmp_path_factory):
    """One of its own: what is registered elsewhere is counted and found here too."""
    own = Tracker(tmp_path_factory.mktemp("versions"))
    shutil.copytree(mlflow_folder, own.folder)
    return own


@pytest.fixture(scope="module")
def data(plant):
    return from_frame(plant(sessions=80)[0])


@pytest.fixture(scope="module")
def model(data):
    return gbdt.fit(data, GbdtParams(trees=25), seed=3)


def register(tracker, name, model, data, lineage=LINEAGE, metrics=None):
    with tracker.run("candidate", experiment="cn") as run:
        run.log_metrics(metrics or {})
        return tracker.register(name, model, lineage, run=run, example=data.x[:3])


@pytest.fixture(scope="module")
def registered(tracker, model, data):
    name = "nofx-signal-cn"
    first = register(tracker, name, ridge.fit(data), data, dataclasses.replace(LINEAGE, family="ridge"))
    second = register(tracker, name, model, data, metrics={"rank_ic": 0.07})
    assert (first, second) == ("1", "2")
    tracker.set_alias(name, "champion", first)
    return name


def test_a_loaded_model_scores_as_the_trained_one(tracker, registered, model, data):
    found = tracker.load(f"models:/{registered}/2")
    assert (found.name, found.version, found.feature_names) == (registered, "2", data.feature_names)
    assert np.abs(found.predict(data.x) - model.predict(data.x)).max() <= 1e-12
    assert found.onnx == model.to_onnx()


def test_names_mean_what_they_say(tracker, registered):
    versions = [tracker.load(registered + ref).version for ref in ("@champion", "/1", "/2", "")]
    assert versions == ["1", "1", "2", "2"]
    assert tracker.alias(registered, "champion") == "1"
    assert tracker.alias(registered, "challenger") is None
    assert tracker.alias("nobody", "champion") is None


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nofx-signal-cn@king", "alias @king"),
        ("nofx-signal-cn/9", "no version 9"),
        ("nofx-signal-mars", "known: .*nofx-signal-cn"),
        ("a' OR 1=1", "no model"),
        ("../etc/passwd", "names no model"),
        ("", "names no model"),
    ],
)
def test_what_is_not_there_is_named(tracker, registered, reference, message):
    with pytest.raises(ModelNotFound, match=message):
        tracker.load(reference)


def test_an_alias_moves_and_the_table_shows_it(tracker, model, data):
    name = "nofx-signal-moves"
    for _ in range(2):
        register(tracker, name, model, data, metrics={"rank_ic": 0.07})
    tracker.set_alias(name, "champion", "1")
    tracker.set_alias(name, "champion", "2")
    table = tracker.models().filter(name=name)
    assert table.select("version", "aliases", "rank_ic").rows() == [("1", "", 0.07), ("2", "champion", 0.07)]
    assert table["data_versions"].to_list() == ['{"cn/folds": 5, "cn/training_set": 4}'] * 2


def test_lineage_comes_back_and_says_which_table_versions_to_keep(tracker, registered):
    assert tracker.lineage(f"{registered}/2") == dataclasses.replace(
        LINEAGE,
        training_code=tracker.lineage(registered).training_code,
        libraries=tracker.lineage(registered).libraries,
    )
    assert tracker.kept_versions() == {"cn/training_set": {4}, "cn/folds": {5}}


def test_the_folder_holds_onnx_and_what_trains_further_but_no_pickle(tracker, registered, model, data):
    folder = next(p.parent for p in tracker.artifacts.rglob("model.json") if b"gbdt" in p.read_bytes())
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "model.onnx", "weights.safetensors", "model.json", "input_example.json"} <= names
    for path in folder.rglob("*"):
        assert path.suffix not in {".pkl", ".pickle", ".joblib", ".pt", ".bin"}
        if path.is_file():
            with pytest.raises(Exception):  # noqa: B017  whatever a non-pickle raises
                pickle.loads(path.read_bytes())  # noqa: S301  written above
    files = {name: (folder / name).read_bytes() for name in ("model.json", "weights.safetensors")}
    assert (Gbdt.from_files(files).predict(data.x) == model.predict(data.x)).all()


def test_anyone_can_serve_it_through_mlflow(tracker, registered, model, data):
    import mlflow

    folder = next(p.parent for p in tracker.artifacts.rglob("model.json") if b"gbdt" in p.read_bytes())
    served = mlflow.pyfunc.load_model(str(folder))
    assert np.abs(served.predict(data.x)["score"] - model.predict(data.x)).max() <= 1e-12
    assert served.metadata.signature.inputs.inputs[0].shape == (-1, 5)


@pytest.mark.parametrize("flavour", ["sklearn", "pytorch", "python_function"])
def test_any_other_flavour_is_refused_unread(tracker, model, data, flavour):
    name = f"nofx-signal-{flavour}"
    register(tracker, name, model, data)
    version = tracker.client.get_model_version(name, "1")
    folder = next(p.parent for p in tracker.artifacts.rglob("model.onnx") if version.run_id in str(p))
    text = (folder / "MLmodel").read_text()
    if flavour == "python_function":  # a pyfunc of its own beside onnx
        text = text.replace("loader_module: mlflow.onnx", "loader_module: mlflow.sklearn")
    else:
        text = text.replace("  onnx:\n", f"  {flavour}:\n")
    (folder / "MLmodel").write_text(text)
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelError, match="only onnx is ever loaded"):
        tracker.load(name)


def test_other_bytes_than_registered_are_refused(tracker, model, data):
    name = "nofx-signal-forged"
    register(tracker, name, model, data)
    version = tracker.client.get_model_version(name, "1")
    path = next(p for p in tracker.artifacts.rglob("model.onnx") if version.run_id in str(p))
    forged = onnx.load(path)
    forged.doc_string = "mine now"
    path.write_bytes(forged.SerializeToString())
    with pytest.raises(IntegrityError, match="SHA-256"):
        tracker.load(name)
    path.unlink()
    shutil.rmtree(path.parent)
    with pytest.raises(ModelError, match="are gone"):
        tracker.load(name)


@pytest.mark.slow
def test_a_home_can_be_moved(tmp_path, model, data):
    tracker = Tracker(tmp_path / "first")
    register(tracker, "nofx-signal-cn", model, data)
    shutil.move(tmp_path / "first", tmp_path / "second")
    assert Tracker(tmp_path / "second").load("nofx-signal-cn").onnx == model.to_onnx()


REGISTER = """
    import sys; from pathlib import Path; import numpy as np
    from nofx_pipelines.models.families import ridge
    from nofx_pipelines.registry.lineage import Lineage, libraries, training_code
    from nofx_pipelines.registry.tracking import Tracker
    x = np.random.default_rng(0).normal(size=(50, 3))
    model = ridge.fit_target(x, x[:, 0], np.ones(50), ridge.RidgeParams(), ("a", "b", "c"))
    tracker = Tracker(Path(sys.argv[1]))
    lineage = Lineage("cn", "ridge", "baseline", {}, 0, {"cn/training_set": 1}, "c", "r")
    for _ in range(5):
        with tracker.run("r", experiment="cn") as run:
            run.log_metrics({"rank_ic": 0.1})
            print(tracker.register("nofx-signal-cn", model, lineage, run=run, example=x[:2]))
"""


@pytest.mark.slow
def test_three_processes_register_at_once_from_nothing(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(REGISTER), str(tmp_path)]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=dict(os.environ)) for _ in range(3)
    ]
    answers = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    versions = sorted(int(line) for out, _ in answers for line in out.split())
    assert versions == list(range(1, 16))
    assert Tracker(tmp_path).models().height == 15
