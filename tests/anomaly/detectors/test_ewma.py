"""The average against its recursion, and what it is for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nofx_pipelines.anomaly.conditioning import NAMES
from nofx_pipelines.anomaly.detectors import ewma
from nofx_pipelines.anomaly.detectors.protocol import BarWindow
from nofx_pipelines.anomaly.windows import TradedBars


def _traded_bars(bars: int) -> TradedBars:
    return TradedBars.of(np.ones((bars, 1, 1), dtype=np.bool_), span=bars)


def test_it_is_the_recursive_average_up_to_what_was_cut_off() -> None:
    z = np.random.default_rng(1).normal(size=(1, 300, 1, 1))
    got = ewma.averages(z, _traded_bars(300))[0, :, 0, 0]
    average, recursive = 0.0, []
    for value in z[0, :, 0, 0]:
        average = (1 - ewma.SMOOTHING) * average + ewma.SMOOTHING * value
        recursive.append(average)
    unit = np.sqrt(ewma.SMOOTHING / (2 - ewma.SMOOTHING))
    assert np.abs(got[50:] - np.array(recursive)[50:] / unit).max() < 0.1


def test_independent_z_have_a_unit_average() -> None:
    z = np.random.default_rng(2).normal(size=(1, 20_000, 1, 1))
    assert abs(np.nanstd(ewma.averages(z, _traded_bars(20_000))) - 1) < 0.03


def test_a_small_shift_that_lasts_is_louder_than_any_of_its_bars() -> None:
    z = np.zeros((1, 60, 1, 1))
    z[0, 40:] = 1.5
    assert ewma.averages(z, _traded_bars(60))[0, 49, 0, 0] > 3.5


def test_one_wild_bar_is_soon_forgotten() -> None:
    z = np.zeros((1, 60, 1, 1))
    z[0, 30] = 500.0
    averaged = ewma.averages(z, _traded_bars(60))[0, :, 0, 0]
    assert averaged[31] < 4
    assert averaged[42] < 0.3


def test_unknown_bars_have_no_average() -> None:
    z = np.zeros((1, 60, 1, 1))
    z[0, 45] = np.nan
    assert np.isnan(ewma.averages(z, _traded_bars(60))[0, 45, 0, 0])
    assert np.isfinite(ewma.averages(z, _traded_bars(60))[0, 46, 0, 0])


def test_sessions_before_the_span_of_a_window_change_no_average() -> None:
    rng = np.random.default_rng(11)
    z = rng.normal(size=(len(NAMES), 120, 1, 40))
    bars = replace(BarWindow.of_features(z), traded=rng.random((120, 1, 40)) > 0.3, span=30)
    whole = np.abs(ewma.averages(bars.z, bars.traded_bars))
    for span in (slice(0, 120), slice(29, 60), slice(70, 90), slice(119, 120)):
        scores = ewma.Ewma().score(bars.until(span.stop), span)
        np.testing.assert_array_equal(scores, whole[:, span])
    assert np.isfinite(whole[:, 119]).any()
    assert np.isnan(whole[:, 119]).any()
