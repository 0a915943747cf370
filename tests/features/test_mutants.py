"""Every operator in the kernel against the oracle, small enough to run uncompiled (see `mutate`)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.features import (
    FeatureSet,
    close,
    compute,
    rolling_max,
    rolling_min,
    rolling_product,
    rolling_sum,
)
from nofx_pipelines.features.algebra.expr import Expr, walk
from nofx_pipelines.features.execution.numba_engine import plan_of
from nofx_pipelines.features.streaming.stream import Stream
from tests.features.mutate import MUTATIONS, ROOT
from tests.features.worlds import EVERY, YEAR, one_series, random_bars, same_bits, set_of, worst


@pytest.mark.parametrize(("missing", "flat"), [(0.0, 0.0), (0.08, 0.15)])
def test_kernel_and_oracle_agree_on_every_operator(missing: float, flat: float) -> None:
    bars = random_bars(4, 45, suspended=0.1, missing=missing, flat=flat, seed=5)
    ours, oracle = (compute(bars, EVERY, bars_per_year=YEAR, engine=e).frame for e in ("numba", "polars"))  # type: ignore[arg-type]
    gaps = worst(ours, oracle, EVERY.columns)
    assert {name: gap for name, gap in gaps.items() if gap > 1e-9} == {}


def no_clocks(expr: Expr) -> bool:
    return all(e.op not in ("sample", "hold") for e in walk(expr))


@pytest.mark.parametrize("length", [3, 17])
def test_parts_are_the_whole(length: int) -> None:
    """Rows in blocks of any length: rings, counts and prefixes carried from one to the next."""
    bars = random_bars(3, 40, suspended=0.1, missing=0.1, flat=0.1, seed=6)
    days = bars["session_date"].unique().sort().to_list()
    state, parts = None, []
    for first in range(0, len(days), length):
        own = bars.filter(pl.col("session_date").is_in(days[first : first + length]))
        result = compute(own, EVERY, bars_per_year=YEAR, state=state)
        state = result.state
        parts.append(result.frame)
    same_bits(pl.concat(parts), compute(bars, EVERY, bars_per_year=YEAR).frame)


@pytest.mark.parametrize("n", [1, 5, 20, 31])
@pytest.mark.parametrize("cuts", [(), (17,), (20, 40)])
def test_windows_of_numbers_at_the_edge(n: int, cuts: tuple[int, ...]) -> None:
    """Zeros of both signs, overflows and gaps: rows merged together are rows one by one, and leave the same
    state."""
    rng = np.random.default_rng(n)
    values = rng.choice(
        [None, 0.0, -0.0, 1e308, -1e308, 1.5, -2.25], 60, p=[0.1, 0.3, 0.3, 0.05, 0.05, 0.1, 0.1]
    )
    values[:10] = -0.0
    windows = (rolling_sum, rolling_product, rolling_min, rolling_max)
    features = set_of(**{call.__name__: call(close, n, 1) for call in windows})
    bars = one_series(values.tolist())
    stream = Stream(features, ["A"], bars_per_year=YEAR)
    alone = pl.concat([stream.update(bars[k : k + 1]) for k in range(60)])
    state, parts = None, []
    for lo, hi in pairwise((0, *cuts, 60)):
        result = compute(bars[lo:hi], features, bars_per_year=YEAR, state=state)
        state = result.state
        parts.append(result.frame)
    same_bits(pl.concat(parts), alone)
    assert state is not None
    assert state.values.tobytes() == stream.state.values.tobytes()


@pytest.mark.parametrize(("missing", "flat"), [(0.0, 0.0), (0.02, 0.1)])
def test_eight_at_once_are_each_alone(missing: float, flat: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that eight instruments have in common, then the rest of the longer ones; with snapshots."""
    alone = FeatureSet("alone", tuple(f for f in EVERY.features if no_clocks(f.expr)))
    assert len(alone.features) > 40
    assert plan_of(alone.program).passes[0].eights is not None
    bars = random_bars(9, 44, missing=missing, flat=flat, seed=7)
    results = []
    for rows in (8, 10**9):
        monkeypatch.setattr("nofx_pipelines.features.execution.numba_engine._ROWS_FOR_EIGHTS", rows)
        monkeypatch.setattr("nofx_pipelines.features.execution.numba_engine._ROWS_IN_EIGHTS", rows)
        results.append(compute(bars, alone, bars_per_year=YEAR, snapshots=True))
    eights, one_by_one = results
    same_bits(eights.frame, one_by_one.frame)
    assert eights.state is not None
    assert one_by_one.state is not None
    assert np.array_equal(eights.state.values, one_by_one.state.values, equal_nan=True)
    assert eights.snapshots is not None
    assert one_by_one.snapshots is not None
    assert eights.snapshots.equals(one_by_one.snapshots)


@pytest.mark.parametrize(("instruments", "days"), [(3, 24), (17, 10)])
def test_the_stream_is_the_batch(instruments: int, days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three in a tile each, seventeen in three tiles that two threads take."""
    monkeypatch.setattr("nofx_pipelines.features.streaming.instrument_state.LANES", 8)
    monkeypatch.setattr("nofx_pipelines.features.streaming.instrument_state._ROWS_A_THREAD", 4)
    bars = random_bars(instruments, days, suspended=0.2, missing=0.05, flat=0.1, seed=8)
    stream = Stream(EVERY, bars["instrument_id"].unique().to_list(), bars_per_year=YEAR, threads=2)
    assert len(stream.lanes.frame_sets) == (1 if instruments == 3 else 2)
    parts = [stream.update(part) for part in bars.sort("ts_close").partition_by("ts_close")]
    whole = compute(bars, EVERY, bars_per_year=YEAR)
    same_bits(pl.concat(parts), whole.frame)
    assert whole.state is not None
    assert np.array_equal(stream.state.values, whole.state.values, equal_nan=True)


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_line_of_each_mutant_is_there(name: str) -> None:
    path, old, new = MUTATIONS[name]
    source = (ROOT / path).read_text()
    assert old in source
    assert source.replace(old, new, 1) != source
