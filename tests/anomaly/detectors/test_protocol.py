"""What statistics may say, and windows of bars that nobody can write to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.anomaly.conditioning import FEATURES, NAMES
from nofx_pipelines.anomaly.detectors.protocol import BarWindow, Statistic, by_feature
from nofx_pipelines.anomaly.panel import read_panel


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"channel": "prices"}, "'prices' of statistic 'mine' is none of"),
        ({"feature": "volumes"}, "'volumes' of statistic 'mine' is none of"),
        ({"type": "odd"}, "'odd' of statistic 'mine' is none of"),
        ({"feature": "volume", "channel": "price"}, "is about volume: no rule, and of volume"),
        ({"feature": "volume", "rule": True}, "is about volume: no rule, and of volume"),
        ({"name": ""}, "name is a text"),
    ],
)
def test_a_statistic_of_nothing_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Statistic(**{"name": "mine", **fields})


def test_a_statistic_by_feature_is_in_the_feature_s_channel() -> None:
    assert [(s.name, s.channel) for s in by_feature()] == [(f.name, f.channel) for f in FEATURES]


def test_a_window_is_a_part_of_its_panel(make_bars: Callable[..., pl.DataFrame]) -> None:
    panel = read_panel(make_bars(sessions=30, instruments=3), "1d")
    z = np.random.default_rng(1).normal(size=(len(NAMES), 12, 1, 3))
    bars = BarWindow.of(panel, z, 10, span=4).until(8)
    assert bars.sessions == panel.sessions[10:18]
    assert bars.instruments == panel.instruments
    np.testing.assert_array_equal(bars.values["close"], panel.values["close"][10:18])
    np.testing.assert_array_equal(bars.feature("volume"), z[NAMES.index("volume"), :8])
    np.testing.assert_array_equal(bars.traded_bars.position[:, 0, 0], np.arange(8))
    assert bars.traded_bars.span == 4


def test_nobody_writes_to_a_window(make_bars: Callable[..., pl.DataFrame]) -> None:
    panel = read_panel(make_bars(sessions=5, instruments=2), "1d")
    whole = BarWindow.of(panel, np.zeros((len(NAMES), 5, 1, 2)), 0, span=4)
    for bars in (whole, whole.until(3), BarWindow.of_features(np.zeros((len(NAMES), 5, 1, 2)))):
        for cube in (bars.z, bars.traded, bars.hole, bars.refused, bars.values["close"]):
            with pytest.raises(ValueError, match="read-only"):
                cube[:] = 0
        with pytest.raises(TypeError):
            bars.values["close"] = bars.z[0]  # type: ignore[index]
