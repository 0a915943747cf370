"""Stored states: what is damaged, of another program or of another instrument is refused."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import FeatureState, compute, cumsum, ema, volume
from nofx_pipelines.features.execution.resume import resume
from nofx_pipelines.features.program.state import decode, state_rows
from nofx_pipelines.lake.schemas import FEATURE_STATE
from tests.features.worlds import EVERY, YEAR, random_bars, same_bits, set_of

DAY = date(2024, 6, 3)
BARS = random_bars(6, 60, seed=4, missing=0.1)


def state_of(features: object = EVERY) -> FeatureState:
    state = compute(BARS, features, bars_per_year=YEAR).state  # type: ignore[arg-type]
    assert state is not None
    return state


@pytest.fixture(scope="module")
def blob() -> bytes:
    found: bytes = state_of().to_rows(DAY, EVERY.program)["state"][0]
    return found


def test_full_bytes_need_no_history_and_go_on_bit_for_bit() -> None:
    cut = date(2024, 1, 31)
    past, rest = BARS.filter(pl.col("session_date") < cut), BARS.filter(pl.col("session_date") >= cut)
    state = compute(past, EVERY, bars_per_year=YEAR).state
    assert state is not None
    again = resume(state.to_rows(DAY, EVERY.program, full=True), EVERY, bars_per_year=YEAR)
    assert again.values.tobytes() == state.values.tobytes()
    whole = compute(BARS, EVERY, bars_per_year=YEAR).frame.filter(pl.col("session_date") >= cut)
    same_bits(compute(rest, EVERY, state=again, bars_per_year=YEAR).frame, whole)


def test_rows_have_the_table_s_columns_and_are_small() -> None:
    rows = state_of().to_rows(DAY, EVERY.program)
    assert rows.schema == pl.Schema(FEATURE_STATE.columns)
    features = set_of(o=cumsum(volume), e=ema(volume, 200))
    small = compute(BARS, features, bars_per_year=YEAR).state
    assert small is not None
    assert small.to_rows(DAY, features.program)["state"].bin.size().max() < 100


def test_the_layout_of_the_bytes_is_pinned() -> None:
    """Format 1: another layout needs another number, so that old bytes are refused, not misread."""
    features = set_of(o=cumsum(volume))
    bars = random_bars(2, 1, suspended=0).with_columns(volume=pl.lit(5.0))
    state = compute(bars.head(1), features, bars_per_year=YEAR).state
    assert state is not None
    content = state.to_rows(DAY, features.program)["state"][0]
    assert content[:8] == b"NFXS\x01\x00\x00\x00"
    assert content[8:24].decode() == features.version
    assert content[-24:-8].hex() == "000000000000f03f0000000000001440"


@given(data=st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject, blob: bytes) -> None:
    at = data.draw(st.integers(0, len(blob) - 1))
    flipped = data.draw(st.integers(1, 255))
    changed = blob[:at] + bytes([blob[at] ^ flipped]) + blob[at + 1 :]
    with pytest.raises(FeatureError, match="damaged"):
        decode("CN.SSE.600000", changed, EVERY.program)


def test_cut_bytes_and_another_instrument_s_are_noticed(blob: bytes) -> None:
    for wrong in (b"", blob[:30], blob[:-1], blob + b"\0"):
        with pytest.raises(FeatureError, match="damaged"):
            decode("CN.SSE.600000", wrong, EVERY.program)
    with pytest.raises(FeatureError, match=r"state of CN\.SSE\.600001 is damaged"):
        decode("CN.SSE.600001", blob, EVERY.program)


def test_another_version_is_refused_by_name(blob: bytes) -> None:
    other = set_of(e=ema(volume, 3))
    with pytest.raises(FeatureError, match=f"of version {EVERY.version}, the features are {other.version}"):
        decode("CN.SSE.600000", blob, other.program)


def test_another_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nofx_pipelines.features.program.state.FORMAT", 2)
    newer = state_of().to_rows(DAY, EVERY.program)["state"][0]
    monkeypatch.undo()
    with pytest.raises(FeatureError, match="format 2, this code reads 1"):
        decode("CN.SSE.600000", newer, EVERY.program)


def test_no_instruments_make_an_empty_frame() -> None:
    assert state_rows("v", (), (), ()).schema == pl.Schema(FEATURE_STATE.columns)
