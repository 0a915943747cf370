from __future__ import annotations

import dataclasses
import json

import polars as pl
import pytest

from nofx_pipelines import plugins
from nofx_pipelines.errors import CodeChanged, ConfigError, ModelNotFound
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.models.training import Recipe, train, train_baseline
from nofx_pipelines.promotion.reproduce import reproduce
from nofx_pipelines.registry import lineage as lineages
from nofx_pipelines.registry.lineage import Lineage
from tests.skeleton_files import write_skeleton

NAME = "nofx-signal-again"
PARAMS = {"trees": 30, "crosses": True, "learning_rate": 0.05}


@pytest.fixture(scope="module")
def lake(tmp_path_factory, plant):
    """Two registered versions, trained on table versions that have been overwritten since."""
    found = Lake(tmp_path_factory.mktemp("lake"))
    frame, folds = plant(sessions=120)
    found.table("again", "training_set").overwrite(frame)
    found.table("again", "folds").overwrite(folds)
    return found


@pytest.fixture(scope="module")
def registered(lake, tracker, plant):
    frame, folds = plant(sessions=120)
    versions = {f"again/{name}": lake.table("again", name).version() for name in ("training_set", "folds")}
    lineage = Lineage("again", "gbdt", "candidate", PARAMS, 11, versions, "c", "r")
    with tracker.run("candidate", experiment="again") as run:
        model = train(frame, folds, Recipe("gbdt", PARAMS, seed=11)).model
        tracker.register(NAME, model, lineage, run=run, example=[[0.0] * 5])
        baseline = train_baseline(frame, folds).model
        of_ridge = dataclasses.replace(lineage, family="ridge", kind="baseline", params=baseline.settings)
        tracker.register(NAME, baseline, of_ridge, run=run, example=[[0.0] * 5])
        wrong = dataclasses.replace(lineage, seed=12)
        tracker.register(NAME, model, wrong, run=run, example=[[0.0] * 5])
    later = frame.with_columns(pl.col("forward_return") * -1)
    lake.table("again", "training_set").overwrite(later)
    tracker.set_alias(NAME, "champion", "1")
    return NAME


@pytest.mark.parametrize("reference", ["@champion", "/2"])
def test_the_recorded_rows_parameters_and_seed_give_the_same_bytes(lake, tracker, registered, reference):
    found = reproduce(tracker, lake, registered + reference)
    assert found.identical
    assert "byte for byte" in str(found)
    assert "again/training_set@0" in str(found)


def test_another_seed_is_seen_in_the_bytes(lake, tracker, registered):
    found = reproduce(tracker, lake, registered + "/3")
    assert not found.identical
    assert found.recorded_sha256 != found.reproduced_sha256
    assert "other weights" in str(found)


def test_other_code_is_refused_by_name(lake, tracker, registered, monkeypatch):
    recorded = lineages.training_code("gbdt")
    monkeypatch.setattr("nofx_pipelines.promotion.reproduce.training_code", lambda *_: "0123456789ab")
    here = lineages.package_version()
    words = f"trained by code {recorded} of nofx-pipelines {here}, this is code 0123456789ab of"
    with pytest.raises(CodeChanged, match=f"{words}.* Next: reproduce it with nofx-pipelines {here}"):
        reproduce(tracker, lake, registered)


def test_of_a_model_that_names_no_version_it_is_said_which_may_have_made_it(
    lake, tracker, registered, monkeypatch
):
    loaded = tracker.load(registered)
    tags = {name: value for name, value in loaded.tags.items() if name != "nofx.nofx_version"}
    monkeypatch.setattr(type(tracker), "load", lambda *_: dataclasses.replace(loaded, tags=tags))
    assert not reproduce(tracker, lake, registered).identical  # version 3 was given another seed
    monkeypatch.setattr("nofx_pipelines.promotion.reproduce.training_code", lambda *_: "0123456789ab")
    words = r"by code \w{12} of nofx-pipelines 0\.1\.0 or before, this is code 0123456789ab"
    with pytest.raises(CodeChanged, match=words):
        reproduce(tracker, lake, registered)


def test_an_unknown_model_is_named(lake, tracker, registered):
    with pytest.raises(ModelNotFound, match="no version 44"):
        reproduce(tracker, lake, f"{registered}/44")


@pytest.mark.parametrize(("kind", "attribute"), [("features", "FEATURES"), ("labels", "LABEL")])
def test_other_sources_of_a_plug_in_that_made_its_rows_are_refused_by_name(
    lake, tracker, registered, monkeypatch, kind, attribute
):
    folder = lake.root.parent / plugins.FOLDER
    file, name = write_skeleton(kind, folder, f"my_{kind}"), f"my_{kind}:{attribute}"
    recorded = plugins.find(kind, name, folder).digest()
    loaded = tracker.load(registered + "/1")
    tags = {**loaded.tags, "nofx.plugins": json.dumps({f"{kind} {name}": recorded})}
    monkeypatch.setattr(type(tracker), "load", lambda *_: dataclasses.replace(loaded, tags=tags))
    assert reproduce(tracker, lake, registered).identical
    file.write_text(file.read_text() + "\n# another thought\n")
    here = plugins.find(kind, name, folder).digest()
    words = f"by plug-in '{kind} {name}' with sources {recorded}, here they are {here}"
    with pytest.raises(
        CodeChanged, match=f"{registered}/1 was trained {words}; nothing was trained. Next: put its file back"
    ):
        reproduce(tracker, lake, registered)
    file.unlink()
    with pytest.raises(
        ConfigError, match=rf"plug-in '{name}', which is neither in .* nor installed; nothing was trained"
    ):
        reproduce(tracker, lake, registered)
