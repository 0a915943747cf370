"""Why a bar scored, whatever its loudest detector speaks of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.anomaly.calibration import Tail
from nofx_pipelines.anomaly.conditioning import FEATURES, NAMES, Conditioned, Explained
from nofx_pipelines.anomaly.detectors.protocol import BarWindow
from nofx_pipelines.anomaly.detectors.registry import load_detectors
from nofx_pipelines.anomaly.detectors.rules import RULES
from nofx_pipelines.anomaly.ensemble import Reference, Scores
from nofx_pipelines.anomaly.explanation import explain, vector_names

REFERENCE, LATER = slice(30, 230), slice(230, 260)
_F = len(FEATURES)
PLAIN = Explained((0.0,) * _F, (0.0,) * _F, (0.0,) * _F, (1.0,) * _F)
VOLUME, SHADOW = NAMES.index("volume"), NAMES.index("shadow")
DISTANCE = """
import numpy as np
from nofx_pipelines.anomaly.detectors.protocol import Statistic

class Distance:
    statistics = (Statistic("distance", channel=None),)

    def fit(self, bars, reference, seed):
        return self

    def score(self, bars, span):
        z = bars.z[:, span]
        return np.sqrt((z * z).sum(axis=0))

    def parameters(self):
        return {}

DETECTOR = Distance()
"""
ATTRIBUTION = """
    def attribution(self, z):
        shares = np.zeros(z.shape[::-1])
        shares[:, 3] = 1.0
        return shares

DETECTOR"""
HOLES = DISTANCE.replace('"distance", channel=None', '"hole", channel="data", rule=True').replace(
    "np.sqrt((z * z).sum(axis=0))", "np.where(bars.hole[span], 5.0, 0.0)"
)


@pytest.fixture(scope="module")
def z() -> np.ndarray:
    """Ordinary bars; in session 240 the first instrument's volume is low and a little else is off."""
    z = np.random.default_rng(6).normal(size=(_F, 260, 1, 5))
    z[:, 240, 0, 0] = 2.4
    z[VOLUME, 240, 0, 0] = -2.8
    return z


def _evidence(
    bars: BarWindow, names: list[str], folder: Path | None = None
) -> tuple[dict[str, Any], Reference, Scores]:
    """The evidence of the first instrument's bar of session 240."""
    detectors = load_detectors(names, folder)
    reference = Reference.fit(detectors, PLAIN, bars.until(REFERENCE.stop), REFERENCE, seed=7)
    scores = reference.score(bars, LATER)
    one = np.ones_like(bars.z[:, LATER])
    conditioned = Conditioned(bars.z[:, LATER] * 0.5 + 3, one * 3, one * 0.5, one * 0)
    rows = pl.DataFrame(
        {
            "instrument_id": ["I0"],
            "ts_close": [datetime(2024, 8, 28, 7, tzinfo=UTC)],
            "session_date": [date(2024, 8, 28)],
        }
    )
    at = (np.array([10]), np.array([0]), np.array([0]))
    evidence = explain(reference, conditioned, scores, rows, at)
    assert len(evidence["vector"][0]) == len(vector_names(detectors))
    return evidence.row(0, named=True), reference, scores


@pytest.mark.parametrize("attributes", [False, True])
def test_a_score_of_the_bar_is_explained_by_features(z: np.ndarray, tmp_path: Path, attributes: bool) -> None:
    text = DISTANCE.replace("\nDETECTOR", ATTRIBUTION) if attributes else DISTANCE
    (tmp_path / "mine.py").write_text(text)
    row, _, scores = _evidence(BarWindow.of_features(z), ["robust_z", "mine:DETECTOR"], tmp_path)
    assert (
        scores.by_detector["mine:DETECTOR"][0, 10, 0, 0] > scores.by_detector["robust_z"][:, 10, 0, 0].max()
    )
    assert (row["detector"], row["rule"]) == ("mine:DETECTOR", None)
    assert row["score"] == scores.ensemble[10, 0, 0]
    first = row["explanation"][0]
    loudest = SHADOW if attributes else VOLUME
    assert (first["feature"], row["channel"]) == (NAMES[loudest], FEATURES[loudest].channel)
    tail = Tail.fit(np.abs(z[loudest, REFERENCE]))
    assert abs(first["contribution"]) == tail.score(np.abs(z[loudest, 240, 0, :1]))[0]
    assert np.sign(first["contribution"]) == np.sign(z[loudest, 240, 0, 0])
    assert first["value"] == pytest.approx(3 + 0.5 * z[loudest, 240, 0, 0])
    assert first["expected_high"] == pytest.approx(3 + 0.5 * tail.quantile(2.0))
    assert len(row["explanation"]) == 3


def test_without_a_detector_by_feature_features_still_speak_by_their_z(z: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(DISTANCE)
    row, reference, _ = _evidence(BarWindow.of_features(z), ["mine:DETECTOR"], tmp_path)
    sizes = [reference.expected[f].score(np.abs(z[f, 240, 0, :1]))[0] for f in range(_F)]  # type: ignore[union-attr]
    assert row["vector"] == pytest.approx([*(np.sign(z[:, 240, 0, 0]) * sizes)])
    assert row["explanation"][0]["feature"] == "volume"


def test_the_loudest_by_feature_of_all_detectors_counts(z: np.ndarray) -> None:
    shifted = z.copy()
    shifted[SHADOW, 225:241, 0, 0] = 1.9  # quiet bars, but a long run of them
    row, _, scores = _evidence(BarWindow.of_features(shifted), ["robust_z", "ewma"])
    ewma, own = (scores.by_detector[name][SHADOW, 10, 0, 0] for name in ("ewma", "robust_z"))
    assert ewma > own
    assert (row["detector"], row["channel"], row["rule"]) == ("ewma", "price", None)
    assert (row["explanation"][0]["feature"], row["explanation"][0]["contribution"]) == ("shadow", ewma)


def test_a_rule_of_a_user_s_is_named_and_part_of_the_vector(z: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HOLES)
    bars = BarWindow.of_features(z)
    hole = np.zeros_like(bars.hole)
    hole[240, 0, 0] = True
    row, _, _ = _evidence(replace(bars, hole=hole), ["robust_z", "mine:DETECTOR"], tmp_path)
    assert (row["detector"], row["channel"], row["rule"]) == ("mine:DETECTOR", "data", "hole")
    assert row["vector"][-1] == 5.0


def test_vectors_hold_features_then_rules() -> None:
    assert vector_names(load_detectors(["rules", "ewma"])) == (*NAMES, *RULES)
    assert vector_names(load_detectors(["ewma"])) == NAMES
