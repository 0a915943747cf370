from __future__ import annotations

import hashlib
import struct
from datetime import date

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing.parametric import dataframes

from nofx_pipelines.lake.content import canonical, combined, digest, session_digests

FLAT = [pl.Int8, pl.Int64, pl.Float64, pl.String, pl.Binary, pl.Boolean, pl.Date, pl.Datetime("us", "UTC")]


def test_the_hash_is_the_documented_byte_string():
    frame = pl.DataFrame({"x": [1.5, None]}, schema={"x": pl.Float64})

    def text(value: str) -> bytes:
        return struct.pack("<q", len(value)) + value.encode()

    expected = (
        b"nofx rows 1 2" + text("x") + text("Float64") + b"\x01" + b"\x40" + struct.pack("<2d", 1.5, 0.0)
    )
    assert digest(frame) == hashlib.sha256(expected).hexdigest()


@settings(max_examples=60, deadline=None)
@given(
    frame=dataframes(
        min_cols=1, max_cols=5, max_size=20, allowed_dtypes=FLAT, allow_null=True, allow_nan=False
    ),
    seed=st.integers(0, 1000),
)
def test_row_and_column_order_and_chunks_do_not_matter(frame, seed):
    key = sorted(frame.columns)
    shuffled = frame.sample(fraction=1, shuffle=True, seed=seed).select(frame.columns[::-1])
    halves = pl.concat([shuffled.head(3), shuffled.slice(3)], rechunk=False)
    assert digest(canonical(frame, key)) == digest(canonical(halves, key))


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.none(), st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=3)), min_size=1
    ),
    position=st.integers(0),
)
def test_any_changed_list_changes_the_hash(values, position):
    changed = list(values)
    at = position % len(values)
    changed[at] = ["changed value"] if values[at] is None else None
    frames = [
        pl.DataFrame({"k": range(len(v)), "l": pl.Series(v, dtype=pl.List(pl.String))})
        for v in (values, changed)
    ]
    assert digest(frames[0]) != digest(frames[1])


def test_text_cannot_move_between_neighbours():
    pairs = [["ab", "c"], ["a", "bc"], ["abc", ""], ["abc", None]]
    assert len({digest(pl.DataFrame({"s": pair}, schema={"s": pl.String})) for pair in pairs}) == 4


def test_structs_count_by_field():
    one = pl.DataFrame({"s": [{"a": 1, "b": None}]}, schema={"s": pl.Struct({"a": pl.Int64, "b": pl.Int64})})
    other = pl.DataFrame(
        {"s": [{"a": None, "b": 1}]}, schema={"s": pl.Struct({"a": pl.Int64, "b": pl.Int64})}
    )
    assert digest(one) != digest(other)


def test_a_column_added_as_null_leaves_the_hash():
    frame = pl.DataFrame({"a": [1, 2]})
    assert digest(frame) == digest(frame.with_columns(later=pl.lit(None, pl.Float64)))


def test_sessions_hash_alone_as_among_others():
    frame = pl.DataFrame({"d": [date(2024, 1, 2), date(2024, 1, 1), date(2024, 1, 2)], "k": ["b", "a", "a"]})
    together = session_digests(frame, "d", ("k",))
    alone = session_digests(frame.filter(pl.col("d") == date(2024, 1, 2)), "d", ("k",))
    assert list(together) == [date(2024, 1, 1), date(2024, 1, 2)]
    assert together[date(2024, 1, 2)] == alone[date(2024, 1, 2)]
    assert together[date(2024, 1, 2)][1] == 2


def test_repeated_keys_still_have_one_order():
    frame = pl.DataFrame({"k": ["a", "a"], "v": [2, 1]})
    assert digest(canonical(frame, ["k"])) == digest(canonical(frame.reverse(), ["k"]))


def test_parts_combine_in_any_order_but_not_as_one():
    assert combined(["b", "a"]) == combined(["a", "b"]) != combined(["a"])
