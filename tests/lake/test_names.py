from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.errors import LakeError
from nofx_pipelines.lake.names import checked_scope, known_names, quoted, schema_of
from nofx_pipelines.lake.schemas import TABLES

BAD = ["../../x", "a'; drop table", "", "/etc", "..", ".", "a/b", "a\\b", "a b", "a\n", "-a", "a\0", "x" * 65]


@pytest.mark.parametrize("scope", BAD)
def test_a_scope_that_is_no_name_is_refused(scope):
    with pytest.raises(LakeError, match="nothing was read or written"):
        checked_scope(scope)


@pytest.mark.parametrize("name", [*BAD, "source_bars", "source_bars_", "source_bars_1d/..", "Bars", "nope"])
def test_a_name_that_is_no_table_is_refused(name):
    with pytest.raises(LakeError, match=r"use one of .*bars.*source_bars_<freq>"):
        schema_of(name)


@pytest.mark.parametrize(
    "name", [*sorted(set(TABLES) - {"source_bars"}), "source_bars_1d", "source_bars_30m"]
)
def test_every_declared_table_has_its_schema(name):
    assert schema_of(name).name == name


@given(st.text(min_size=1).filter(lambda text: "\0" not in text and text.isprintable()))
def test_a_quoted_identifier_is_one_identifier(identifier):
    name = duckdb.sql(f"SELECT 1 AS {quoted(identifier)}").columns
    assert name == [identifier]


def test_known_names_show_the_frequency():
    assert "source_bars_<freq>" in known_names()
