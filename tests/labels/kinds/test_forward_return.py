from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.labels.compute import compute_labels
from nofx_pipelines.labels.kinds import LabelBars
from nofx_pipelines.labels.kinds.forward_return import LABEL
from tests.labels.strategies import LONG_AFTER, daily_bars, paths, random_walk


def returns(path: list[float], horizon: int) -> list[float]:
    config = LabelConfig(horizon=horizon)
    labelled = LABEL.label(LabelBars.of(config, close=np.array(path)), config)
    assert labelled.side is labelled.touch is None
    values: list[float] = labelled.value.tolist()
    return values


def test_four_bars_by_hand() -> None:
    assert returns([100.0, 50.0, 200.0, 100.0], 2) == [math.log(2), math.log(2)]


def test_a_path_no_longer_than_the_horizon_has_no_return() -> None:
    assert returns([100.0, 101.0], 2) == []


@settings(deadline=None)
@given(paths(), st.integers(1, 12))
def test_equals_a_loop(path: list[float], horizon: int) -> None:
    expected = [math.log(b / a) for a, b in zip(path, path[horizon:], strict=False)]
    assert np.allclose(returns(path, horizon), expected, rtol=1e-14, atol=1e-16)


@settings(deadline=None)
@given(paths(min_size=3, max_size=200), st.integers(1, 2), st.data())
def test_a_slice_of_the_path_gives_the_same_bits(
    path: list[float], horizon: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(path) - horizon - 1))
    assert returns(path[first : first + horizon + 1], horizon) == [returns(path, horizon)[first]]


def test_the_table_has_the_triple_barrier_s_returns_and_no_barrier() -> None:
    closes: dict[str, list[float | None]] = {"A": list(random_walk(1, 60)), "B": [None, *random_walk(2, 50)]}
    bars = daily_bars(closes)
    plain = compute_labels(bars, LabelConfig(kind="forward_return"), known_until=LONG_AFTER)
    barriers = compute_labels(bars, LabelConfig(), known_until=LONG_AFTER)
    assert plain["barrier"].null_count() == plain["barrier_ts"].null_count() == len(plain)
    assert barriers["barrier"].null_count() < len(barriers)
    same = ("instrument_id", "ts_close", "forward_return", "weight", "known_at")
    assert plain.select(same).equals(barriers.select(same))
