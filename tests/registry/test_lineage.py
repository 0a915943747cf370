from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.errors import ModelError
from nofx_pipelines.registry.lineage import Lineage

TEXT = st.text(max_size=8)


@given(
    params=st.dictionaries(TEXT, st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT)),
    versions=st.dictionaries(TEXT, st.integers(0, 99)),
    seed=st.integers(0, 2**40),
)
def test_tags_restore_the_lineage(params, versions, seed):
    lineage = Lineage("cn", "gbdt", "candidate", params, seed, versions, "c0de", "run", "abc", {"numpy": "2"})
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
