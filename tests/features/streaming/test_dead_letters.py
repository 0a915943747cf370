"""Entries that could not be taken, each once, whole after a kill, and what is no such table."""

from __future__ import annotations

from pathlib import Path

import pytest

from nofx_pipelines.errors import LakeError
from nofx_pipelines.features.streaming.dead_letters import FILE, DeadLetters, stored_letters


def test_an_entry_is_kept_once_with_its_text_and_time(tmp_path: Path) -> None:
    for again in range(2):
        letters = DeadLetters(tmp_path / FILE, "cn.redis", now_us=lambda again=again: 5 + again)  # type: ignore[misc]
        letters.add("1-0", {"close": "x", "b": "é\udcff"}, "close 'x' is not a number")
        letters.add("1-0", {"close": "y"}, "close 'y' is not a number")
    rows = stored_letters(tmp_path / FILE)
    assert rows["raw"].to_list() == ['{"b": "\\u00e9\\udcff", "close": "x"}', '{"close": "y"}']
    assert rows["refused_at_us"].to_list() == [5, 5]


def test_what_is_no_table_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database at all" * 99)
    with pytest.raises(LakeError, match="cannot take entry 1-0"):
        DeadLetters(tmp_path / FILE).add("1-0", "x", "why")
    with pytest.raises(LakeError, match="is no table of dead letters"):
        stored_letters(tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == b"not a database at all" * 99
