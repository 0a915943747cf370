from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nofx_pipelines
from nofx_pipelines.errors import ModelError
from nofx_pipelines.plugins import builtin_names
from nofx_pipelines.registry.lineage import Lineage, package_version, training_code
from tests.skeleton_files import write_skeleton

TEXT = st.text(max_size=8)


@given(
    params=st.dictionaries(TEXT, st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT)),
    versions=st.dictionaries(TEXT, st.integers(0, 99)),
    seed=st.integers(0, 2**40),
    plugins=st.dictionaries(TEXT, TEXT),
    nofx_version=st.none() | TEXT,
)
def test_tags_restore_the_lineage(params, versions, seed, plugins, nofx_version):
    libraries = {"numpy": "2"}
    lineage = Lineage(
        "cn",
        "gbdt",
        "candidate",
        params,
        seed,
        versions,
        "c0de",
        "run",
        "abc",
        libraries,
        plugins,
        nofx_version,
    )
    tags = lineage.tags()
    assert all(isinstance(value, str) for value in tags.values())
    assert Lineage.from_tags(tags) == lineage


def test_missing_tags_are_named():
    tags = Lineage("cn", "gbdt", "candidate", {}, 1, {}, "c", "r").tags()
    del tags["nofx.seed"]
    with pytest.raises(ModelError, match=r"no tag nofx\.seed"):
        Lineage.from_tags(tags)


def test_the_training_code_and_libraries_are_recorded():
    tags = Lineage("cn", "gbdt", "candidate", {}, 1, {}, "c", "r").tags()
    assert len(tags["nofx.training_code"]) == 12
    assert set(json.loads(tags["nofx.libraries"])) == {"lightgbm", "numpy", "onnx", "torch"}


def test_plug_ins_are_a_tag_of_their_own_and_only_where_there_are_any():
    plain = Lineage("cn", "gbdt", "candidate", {}, 1, {}, "c", "r")
    assert "nofx.plugins" not in plain.tags()
    brought = dataclasses.replace(plain, plugins={"mine:FEATURES": "0123456789ab"})
    assert json.loads(brought.tags()["nofx.plugins"]) == {"mine:FEATURES": "0123456789ab"}


def test_a_model_registered_before_the_package_s_version_was_recorded_still_loads():
    tags = Lineage("cn", "gbdt", "candidate", {}, 1, {}, "c", "r").tags()
    assert tags.pop("nofx.nofx_version") == package_version() == nofx_pipelines.__version__
    lineage = Lineage.from_tags(tags)
    assert (lineage.nofx_version, dict(lineage.plugins)) == (None, {})
    assert lineage.tags() == tags


def test_each_family_s_own_module_is_part_of_its_training_code():
    codes = {name: training_code(name) for name in builtin_names("families")}
    assert len(set(codes.values())) == len(codes)
    assert training_code("lightgbm") == codes["gbdt"]
    assert (
        Lineage("cn", "ridge", "baseline", {}, 1, {}, "c", "r").tags()["nofx.training_code"] == codes["ridge"]
    )


def test_a_plug_in_s_sources_are_not_part_of_ours(tmp_path):
    write_skeleton("families", tmp_path)
    before = training_code("mine:FAMILY", tmp_path)
    write_skeleton("families", tmp_path).write_text("FAMILY = 1\n")
    assert training_code("mine:FAMILY", tmp_path) == before
