"""Eight lanes at once: the arithmetic of one float64, and the same features as lane by lane."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from threading import Event
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config, njit

from nofx_pipelines.features import FeatureSet, compute, feature_set
from nofx_pipelines.features.algebra.expr import walk
from nofx_pipelines.features.execution.numba_engine import eights_of, plan_of
from nofx_pipelines.features.kernel import blocks, elementwise, entries, wide, windows
from nofx_pipelines.features.kernel import simd as kernel
from nofx_pipelines.features.kernel.cache import locks_folder, one_process
from nofx_pipelines.features.kernel.histories import valid_bits
from nofx_pipelines.features.kernel.memory import aligned
from nofx_pipelines.features.streaming.stream import Stream
from tests.features.worlds import EVERY, YEAR, random_bars, same_bits

ALONE = FeatureSet(
    "alone", tuple(f for f in EVERY.features if all(e.op not in ("sample", "hold") for e in walk(f.expr)))
)
"""Those that eight instruments can compute at once."""
NUMBERS = st.lists(
    st.floats(allow_nan=True, allow_infinity=True)
    | st.sampled_from([0.0, -0.0, 1.0, -1.0, np.nan, np.inf, 5e-324]),
    min_size=24,
    max_size=24,
)


def over_eights(call: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled ``call(a, b, c)`` of three eights."""

    @njit(error_model="numpy")
    def run(numbers: Any, out: Any) -> None:
        at = numbers.ctypes.data
        a, b, c = kernel.get_eight(at, 0), kernel.get_eight(at, 8), kernel.get_eight(at, 16)
        kernel.put_eight(out.ctypes.data, 0, call(a, b, c))

    def result(numbers: list[float]) -> Any:
        out = np.empty(8)
        run(np.array(numbers), out)
        return out

    return result


ELEMENTWISE = {name: over_eights(call) for name, call in wide.elementwise.items()}


def one_by_one(call: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled ``call(a, b, c)`` of eight times three numbers."""

    @njit(error_model="numpy")
    def run(numbers: Any, out: Any) -> None:
        for k in range(8):
            out[k] = call(numbers[k], numbers[8 + k], numbers[16 + k])

    def result(numbers: list[float]) -> Any:
        out = np.empty(8)
        run(np.array(numbers), out)
        return out

    return result


ALONE_BY_NAME = {name: one_by_one(elementwise.alone[name]) for name in wide.elementwise}


@pytest.mark.parametrize("name", ELEMENTWISE)
@settings(deadline=None)
@given(numbers=NUMBERS)
def test_an_elementwise_operator_is_that_of_each_number(name: str, numbers: list[float]) -> None:
    alone, together = ALONE_BY_NAME[name](numbers), ELEMENTWISE[name](numbers)
    assert np.array_equal(np.isnan(together), np.isnan(alone))
    there = ~np.isnan(alone)
    assert np.array_equal(together[there].view(np.int64), alone[there].view(np.int64))  # -0.0 too


def test_rows_and_columns_change_places() -> None:
    @njit
    def run(numbers: Any, out: Any) -> None:
        at, to = numbers.ctypes.data, out.ctypes.data
        t = kernel.turned(
            kernel.get_eight(at, 0), kernel.get_eight(at, 8), kernel.get_eight(at, 16),
            kernel.get_eight(at, 24), kernel.get_eight(at, 32), kernel.get_eight(at, 40),
            kernel.get_eight(at, 48), kernel.get_eight(at, 56),
        )  # fmt: skip
        for k in range(8):
            kernel.put_eight(to, 8 * k, t[k])

    numbers, out = np.arange(64.0), np.empty(64)
    run(numbers, out)
    assert np.array_equal(out.reshape(8, 8), numbers.reshape(8, 8).T)


@settings(deadline=None)
@given(st.lists(st.sampled_from([1.0, np.nan, np.inf]), max_size=40))
def test_valid_bits_are_those_of_numpy(values: list[float]) -> None:
    array = np.array(values, np.float64)
    found = np.full(-(-len(array) // 8), 7, np.uint8)
    assert valid_bits(array, found) == (~np.isnan(array)).sum()
    assert np.array_equal(found, np.packbits(~np.isnan(array), bitorder="little"))


def test_an_aligned_array_begins_at_a_line_of_the_cache() -> None:
    for shape in ((1,), (3, 5), (64, 256)):
        array = aligned(*shape, fill=2.0)
        assert array.ctypes.data % 64 == 0
        assert array.shape == shape
        assert (array == 2.0).all()
        assert array.flags.c_contiguous


@pytest.mark.parametrize("suspended", [0.0, 0.01])
@pytest.mark.parametrize("name", ["alone", "alpha158", "ta"])
def test_lanes_of_a_tile_are_each_alone(name: str, suspended: float) -> None:
    """Most stand at the same position: what a moment of the stream computes is what each instrument's
    history does."""
    features = ALONE if name == "alone" else feature_set(name)
    bars = random_bars(40, 90, suspended=suspended, missing=suspended, flat=0.05, seed=11)
    stream = Stream(features, bars["instrument_id"].unique().to_list(), bars_per_year=YEAR)
    parts = [stream.update(part) for part in bars.sort("ts_close").partition_by("ts_close")]
    whole = compute(bars, features, bars_per_year=YEAR)
    same_bits(pl.concat(parts), whole.frame)
    assert whole.state is not None
    assert np.array_equal(stream.state.values, whole.state.values, equal_nan=True)


@pytest.mark.parametrize("name", ["alone", "technical", "ta", "alpha158", "alpha360", "alpha101"])
@pytest.mark.parametrize("gaps", [0.0, 0.03])
def test_eight_instruments_are_each_alone(name: str, gaps: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instruments of many lengths, in several sessions, going on from a state: the same bits and the same
    state as one by one."""
    features = ALONE if name == "alone" else feature_set(name)
    assert any(one.eights is not None for one in plan_of(features.program).passes)
    bars = random_bars(21, 110, per_session=2, suspended=gaps, missing=gaps, flat=gaps, seed=12)
    days = bars["session_date"].unique().sort().to_list()
    results = {}
    for rows in (8, 10**9):
        monkeypatch.setattr("nofx_pipelines.features.execution.numba_engine._ROWS_FOR_EIGHTS", rows)
        monkeypatch.setattr("nofx_pipelines.features.execution.numba_engine._ROWS_IN_EIGHTS", rows)
        state, taken = None, []
        for own in (bars.filter(bars["session_date"].is_in(part)) for part in (days[:70], days[70:])):
            result = compute(own, features, bars_per_year=YEAR, state=state, snapshots=True)
            state = result.state
            taken.append(result)
        results[rows] = taken
    for eights, alone in zip(results[8], results[10**9], strict=True):
        same_bits(eights.frame, alone.frame)
        assert np.array_equal(eights.state.values, alone.state.values, equal_nan=True)
        assert eights.snapshots.equals(alone.snapshots)


def test_instruments_of_eight_have_seen_as_many_rows() -> None:
    seen = np.array([0] * 10 + [5] * 17 + [7] * 3)
    rows = np.array([100, 99] + [300] * 8 + list(range(64, 81)) + [500] * 3)
    found = eights_of(rows, seen)
    assert found.shape == (3, 8)
    assert all(len(set(seen[members])) == 1 for members in found)
    assert set(found[0]) == set(range(2, 10))  # the longest of those there are more than eight of
    assert len(set(found.ravel())) == 24
    assert eights_of(rows // 100, seen).shape == (0, 8)


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")
def test_what_another_process_compiles_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is made first, then it is waited for."""
    codes = sorted(blocks.STATEFUL)[:2]
    runs = np.array([[code, 0, 1] for code in codes])
    wanted = entries.entries_of(runs, "rows")
    names = [f"entry{blocks.STATEFUL[code][0].__name__}{entries._alone.__name__}" for code in codes]
    own = f"test_{os.getpid()}_"  # locks that no other test takes
    held, waited = Event(), Event()
    asked: list[tuple[str, bool]] = []

    def holding() -> None:
        with one_process(own + names[0]):
            held.set()
            waited.wait(20)

    def asking(name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        asked.append((name, wait))
        if wait:
            waited.set()
        return one_process(own + name, wait=wait)

    monkeypatch.setattr(entries, "_MADE", {})
    monkeypatch.setattr(entries, "one_process", asking)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(holding)
        assert held.wait(20)
        found = entries.entries_of(runs, "rows")
        other.result()
    assert asked == [(names[0], False), (names[1], False), (names[0], True)]
    assert (found != 0).tolist() == (wanted != 0).tolist()
    assert entries.UNMADE not in found
    for lock in locks_folder().glob(f"{own}*.lock"):
        lock.unlink()


def test_what_is_compiled_by_itself_has_a_name_of_its_own() -> None:
    """Code that is read from a cache finds what it calls by name: two of one name would be one of them."""
    bodies = [call.py_func for pair in blocks.STATEFUL.values() for call in pair if call is not None]
    loops = [call.py_func for pair in elementwise.ELEMENTWISE.values() for call in pair]
    eight = [call.py_func for call in wide.elementwise.values()]
    functions = {id(f): f for f in (*bodies, *loops, *eight)}.values()
    names = [f"{f.__module__}.{f.__qualname__}" for f in functions]
    assert len(names) > 60
    assert len(names) == len(set(names))
    assert f"{windows.__name__}.var" in names
