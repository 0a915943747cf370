"""Detectors together: the arithmetic by hand, whichever detectors there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from nofx_pipelines.anomaly.calibration import Tail
from nofx_pipelines.anomaly.conditioning import CHANNELS, FEATURES, NAMES, Explained
from nofx_pipelines.anomaly.detectors.protocol import BarWindow
from nofx_pipelines.anomaly.detectors.registry import load_detectors
from nofx_pipelines.anomaly.ensemble import DATA, Reference, Scores
from nofx_pipelines.errors import NotEnoughData

BUILTIN = ("robust_z", "ewma", "isolation_forest", "rules")
REFERENCE, LATER = slice(30, 230), slice(230, 260)
_F = len(FEATURES)
PLAIN = Explained((0.0,) * _F, (0.0,) * _F, (0.0,) * _F, (1.0,) * _F)


@pytest.fixture(scope="module")
def bars() -> BarWindow:
    rng = np.random.default_rng(5)
    z = rng.standard_t(5, size=(_F, 260, 1, 6))
    z[:, rng.random(z.shape[1:]) < 0.02] = np.nan
    z[NAMES.index("trade_size"), :240] = np.nan  # a feature that the reference does not have
    return replace(BarWindow.of_features(z), traded=rng.random(z.shape[1:]) < 0.95)


def _fitted(bars: BarWindow, names: Sequence[str], folder: Path | None = None) -> Reference:
    detectors = load_detectors(names, folder)
    return Reference.fit(detectors, PLAIN, bars.until(REFERENCE.stop), REFERENCE, seed=7)


def _largest(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.where(np.isfinite(parts).any(axis=0), np.max(np.nan_to_num(parts, nan=-1.0), axis=0), np.nan)


@pytest.mark.parametrize(
    "names", [names for count in (1, 2, 3, 4) for names in combinations(BUILTIN, count)], ids="+".join
)
def test_the_loudest_of_whichever_detectors_is_calibrated_again(
    bars: BarWindow, names: tuple[str, ...]
) -> None:
    reference = _fitted(bars, names)
    detectors = load_detectors(names)
    loudest = []
    for span in (REFERENCE, LATER):
        channels: dict[str | None, list[np.ndarray]] = {}
        for name, detector in detectors.items():
            fitted = detector.fit(bars.until(REFERENCE.stop), REFERENCE, 7)
            learned = fitted.score(bars.until(REFERENCE.stop), REFERENCE)
            for k, (statistic, x) in enumerate(
                zip(detector.statistics, fitted.score(bars.until(span.stop), span), strict=True)
            ):
                few = np.isfinite(learned[k]).sum() < 100
                score = x if statistic.rule else x * np.nan if few else Tail.fit(learned[k]).score(x)
                channels.setdefault(statistic.channel, []).append(score)
                if span is LATER:
                    np.testing.assert_array_equal(
                        reference.score(bars, LATER).by_detector[name][k], score, err_msg=statistic.name
                    )
        statistical = [_largest(parts) for channel, parts in channels.items() if channel != "data"]
        loudest.append(np.where(bars.traded[span], _largest(statistical), np.nan))
    scores = reference.score(bars, LATER)
    np.testing.assert_array_equal(scores.ensemble, Tail.fit(loudest[0]).score(loudest[1]))
    for c, channel in enumerate(CHANNELS):
        if channel not in channels:
            assert np.isnan(scores.channel[c]).all()
    assert tuple(scores.by_detector) == names


def test_a_detector_s_own_score_is_its_loudest_statistic(bars: BarWindow) -> None:
    scores = _fitted(bars, BUILTIN).score(bars, LATER)
    for name in BUILTIN:
        np.testing.assert_array_equal(scores.detector(name), _largest(scores.by_detector[name]))
    np.testing.assert_array_equal(scores.detector("ensemble"), scores.ensemble)


def test_a_detector_says_the_same_whatever_the_others_are(bars: BarWindow) -> None:
    together = _fitted(bars, BUILTIN).score(bars, LATER)
    for name in BUILTIN:
        alone = _fitted(bars, (name,)).score(bars, LATER)
        np.testing.assert_array_equal(alone.by_detector[name], together.by_detector[name])


HOLES = """
import numpy as np
from nofx_pipelines.anomaly.detectors.protocol import Statistic

class Holes:
    statistics = (Statistic("hole", channel="data", rule=True, type="temporal"),)

    def fit(self, bars, reference, seed):
        return self

    def score(self, bars, span):
        return np.where(bars.hole[span], 5.0, 0.0)

    def parameters(self):
        return {}

DETECTOR = Holes()
"""


def _with_a_hole(bars: BarWindow) -> BarWindow:
    hole = np.zeros_like(bars.hole)
    hole[240, 0, 2] = True
    return replace(bars, hole=hole)


def test_what_breaks_a_rule_on_the_data_stands_beside(bars: BarWindow, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HOLES)
    holed = _with_a_hole(bars)
    for names in (("mine:DETECTOR",), ("robust_z", "mine:DETECTOR")):
        scores = _fitted(holed, names, tmp_path).score(holed, LATER)
        assert scores.ensemble[10, 0, 2] == 5.0
        assert scores.channel[DATA, 10, 0, 2] == 5.0
        assert (scores.channel[DATA] > 0).sum() == 1
    both = scores.ensemble
    calibrated = _fitted(bars, ("robust_z",)).score(bars, LATER).ensemble
    elsewhere = np.ones(both.shape, dtype=np.bool_)
    elsewhere[10, 0, 2] = False
    np.testing.assert_array_equal(both[elsewhere], calibrated[elsewhere])


def test_rules_on_the_data_alone_score_what_breaks_them(bars: BarWindow, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HOLES)
    holed = _with_a_hole(bars)
    reference = _fitted(holed, ("mine:DETECTOR",), tmp_path)
    ensemble = reference.score(holed, LATER).ensemble
    assert reference.parameters()["ensemble"] is None
    assert np.flatnonzero(np.isfinite(ensemble)).tolist() == [10 * 6 + 2]


def test_a_feature_may_be_missing_but_what_is_about_the_bar_may_not(bars: BarWindow) -> None:
    few = BarWindow.of_features(np.where(np.arange(260)[:, None, None] > 220, bars.z, np.nan))
    with pytest.raises(NotEnoughData, match="52 reference values are fewer than 100"):
        _fitted(few, ("isolation_forest",))
    with pytest.raises(NotEnoughData, match="0 reference values are fewer than 100"):
        _fitted(few, ("robust_z",))
    scores: Scores = _fitted(bars, ("robust_z",)).score(bars, LATER)
    assert np.isnan(scores.by_detector["robust_z"][NAMES.index("trade_size")]).all()


def test_parameters_are_by_detector(bars: BarWindow) -> None:
    parameters = _fitted(bars, ("ewma", "rules")).parameters()
    assert set(parameters["detectors"]) == {"ewma", "rules"}
    assert parameters["detectors"]["ewma"]["tails"]["trade_size"] is None
    assert parameters["detectors"]["ewma"]["tails"]["return"]["values"] > 1000
    assert parameters["detectors"]["ewma"]["parameters"] == {"smoothing": 0.2, "bars": 20}
    assert parameters["detectors"]["rules"]["tails"] == {}
    assert parameters["expected"]["return"]["threshold"] > 0
