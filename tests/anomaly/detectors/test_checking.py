"""Users' detectors: what one must be and give, and that a refusal names it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nofx_pipelines.anomaly.conditioning import NAMES
from nofx_pipelines.anomaly.detectors.checking import NamedDetector, NamedFit
from nofx_pipelines.anomaly.detectors.protocol import BarWindow
from nofx_pipelines.anomaly.detectors.registry import load_detectors
from nofx_pipelines.errors import NotEnoughData, PluginError

REFERENCE, LATER = slice(20, 220), slice(220, 250)
FILE = """
import numpy as np
from nofx_pipelines.anomaly.detectors.protocol import Statistic
from nofx_pipelines.errors import NotEnoughData

class Distance:
    statistics = (Statistic("distance"),)

    def fit(self, bars, reference, seed):
        return Fitted(1.0)

class Fitted:
    def __init__(self, scale):
        self.scale = scale

    def score(self, bars, span):
        z = bars.z[:, span]
        return self.scale * np.sqrt((z * z).sum(axis=0))

    def parameters(self):
        return {"scale": self.scale}

DETECTOR = Distance()
"""


@pytest.fixture
def bars() -> BarWindow:
    z = np.random.default_rng(1).normal(size=(len(NAMES), 250, 1, 4))
    z[:, :10] = np.nan
    return BarWindow.of_features(z)


def _loaded(folder: Path, *changes: tuple[str, str]) -> NamedDetector:
    """The detector of the file, after its text was changed."""
    text = FILE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "mine.py").write_text(text)
    return load_detectors(["mine:DETECTOR"], folder)["mine:DETECTOR"]


def _fitted(folder: Path, bars: BarWindow, *changes: tuple[str, str]) -> NamedFit:
    return _loaded(folder, *changes).fit(bars.until(REFERENCE.stop), REFERENCE, seed=7)


def test_a_score_of_the_bar_is_taken_as_one_statistic(tmp_path: Path, bars: BarWindow) -> None:
    fitted = _fitted(tmp_path, bars)
    expected = np.sqrt(np.square(bars.z[:, LATER]).sum(axis=0))
    np.testing.assert_allclose(fitted.score(bars, LATER), expected[None])
    assert fitted.parameters == {"scale": 1.0}
    assert fitted.attribution(bars.z[:, 30, 0]) is None


def test_single_precision_is_widened(tmp_path: Path, bars: BarWindow) -> None:
    single = ("(z * z).sum(axis=0))", "(z * z).sum(axis=0)).astype(np.float32)")
    scores = _fitted(tmp_path, bars, single).score(bars, LATER)
    assert scores.dtype == np.float64


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("DETECTOR = Distance()", "DETECTOR = Distance", r"is the class Distance: assign an instance"),
        ('(Statistic("distance"),)', "()", r"needs statistics, a tuple of Statistic; it has \(\)"),
        ('(Statistic("distance"),)', '[Statistic("distance")]', "needs statistics, a tuple of Statistic"),
        ('    statistics = (Statistic("distance"),)', "", "needs statistics, .* it has None"),
        ('(Statistic("distance"),)', '("distance",)', "'distance' among its statistics"),
        ('(Statistic("distance"),)', '(Statistic("a"), Statistic("a"))', "two statistics of one name: a, a"),
        ('Statistic("distance")', 'Statistic("a", channel="b")', "raised ValueError when importing it: 'b'"),
        ("def fit", "def learn", "has no method fit"),
        ("DETECTOR = Distance()", "DETECTOR = Distance(", "raised SyntaxError when importing it"),
        ("DETECTOR = Distance()", "import nothing_of_that_name", "raised ModuleNotFoundError"),
        ("DETECTOR = Distance()", "ANOTHER = Distance()", "has no 'DETECTOR'"),
        ("class Distance:", "class Distance:\n    name = 'rules'\n", "calls itself 'rules', .* a built-in"),
    ],
)
def test_what_is_no_detector_is_refused_by_name(tmp_path: Path, old: str, new: str, why: str) -> None:
    with pytest.raises(PluginError, match=rf"plug-in 'mine:DETECTOR' \(detector, .*mine.py\) .*{why}"):
        _loaded(tmp_path, (old, new))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("return Fitted(1.0)", "return 1 / 0", "raised ZeroDivisionError when fitting it"),
        (
            "return Fitted(1.0)",
            "pass",
            r"gave a NoneType when fitted, which has no method score\(bars, span\)",
        ),
        ("def parameters", "def params", r"has no method parameters\(\)"),
        ("def score", "@property\n    def score", "raised TypeError when fitting it"),
        ('return {"scale": self.scale}', "return [1]", "gave parameters of type list"),
        ('"scale": self.scale', '"scale": {1}', "gave parameters that JSON cannot hold"),
        ('return {"scale": self.scale}', "raise OSError('full')", "raised OSError when asking for its param"),
    ],
)
def test_a_fit_that_goes_wrong_is_refused_by_name(
    tmp_path: Path, bars: BarWindow, old: str, new: str, why: str
) -> None:
    with pytest.raises(PluginError, match=f"plug-in 'mine:DETECTOR' .*{why}"):
        _fitted(tmp_path, bars, (old, new))


def test_too_short_a_reference_is_no_fault(tmp_path: Path, bars: BarWindow) -> None:
    with pytest.raises(NotEnoughData, match="two"):
        _fitted(tmp_path, bars, ("return Fitted(1.0)", "raise NotEnoughData('two are few')"))


SCORE = "return self.scale * np.sqrt((z * z).sum(axis=0))"


@pytest.mark.parametrize(
    ("score", "why"),
    [
        ("return bars.z[0]", r"of shape \(1, 30, 1, 4\), not one of float64 of shape \(1, 250, 1, 4\)"),
        ("return z", r"of shape \(1, 30, 1, 4\), not one of float64 of shape \(8, 30, 1, 4\)"),
        ("return z[0].tolist()", "must give an array of floats .*, not a list"),
        ("return None", "must give an array of floats .*, not a NoneType"),
        ("return np.ones(z.shape[1:], dtype=int)", "must give an array of floats .*, not one of int64"),
        ("return np.ones(z.shape[1:], dtype=object)", "must give an array of floats .*, not one of object"),
        ("return z[0] * np.nan", "gave NaN for each of 120 traded bars"),
        ("return z[0] * 0 + np.inf", "gave an infinite score; NaN says that it cannot tell"),
        ("raise KeyError('volume')", "raised KeyError when scoring: 'volume'"),
        ("z[:] = 0; return z[0]", "raised ValueError when scoring: .*read-only"),
        ("return np.random.default_rng().random(z.shape[1:])", "gives other scores when it is asked again"),
        ("self.scale += 1; return self.scale + np.abs(z[0])", "gives other scores when it is asked again"),
        ("return np.abs(z[0] - z[0].mean())", "scores a session otherwise beside later ones than by itself"),
        ("return np.roll(bars.z[0], -1, axis=0)[span]", "scores a session otherwise beside later ones"),
    ],
)
def test_scores_that_cannot_be_are_refused_by_name(
    tmp_path: Path, bars: BarWindow, score: str, why: str
) -> None:
    fitted = _fitted(tmp_path, bars, (SCORE, score))
    with pytest.raises(PluginError, match=f"plug-in 'mine:DETECTOR' .*{why}"):
        fitted.score(bars, LATER)


def test_a_session_by_itself_is_asked_for_twice(tmp_path: Path, bars: BarWindow) -> None:
    fitted = _fitted(tmp_path, bars, (SCORE, "return np.random.default_rng().random(z.shape[1:])"))
    with pytest.raises(PluginError, match="gives other scores when it is asked again"):
        fitted.score(bars.until(221), slice(220, 221))


def test_a_few_unknown_bars_are_no_fault(tmp_path: Path, bars: BarWindow) -> None:
    fitted = _fitted(tmp_path, bars, (SCORE, "return z[0] * np.nan"))
    assert np.isnan(fitted.score(bars.until(224), slice(220, 224))).all()


def test_a_rule_s_score_is_no_less_than_0(tmp_path: Path, bars: BarWindow) -> None:
    rule = ('Statistic("distance")', 'Statistic("halt", channel="data", rule=True)')
    assert _fitted(tmp_path, bars, rule).score(bars, LATER).min() >= 0
    below = _fitted(tmp_path, bars, rule, (SCORE, "return -np.abs(z[0])"))
    with pytest.raises(PluginError, match="gave a rule a score below 0"):
        below.score(bars, LATER)


OWN = """
class Own(Fitted):
    statistics = Distance.statistics

    def fit(self, bars, reference, seed):
        self.scale = np.random.default_rng().random()
        return self

DETECTOR = Own(1.0)
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return Fitted(1.0)", "return Fitted(np.random.default_rng().random())"),
        ("return Fitted(1.0)", "self.fits = getattr(self, 'fits', 0) + 1; return Fitted(self.fits)"),
        ("DETECTOR = Distance()", OWN),
    ],
)
def test_a_fit_that_the_seed_does_not_decide_is_refused_by_name(
    tmp_path: Path, bars: BarWindow, old: str, new: str
) -> None:
    detector, before = _loaded(tmp_path, (old, new)), bars.until(REFERENCE.stop)
    fitted = detector.fit(before, REFERENCE, seed=7)
    with pytest.raises(PluginError, match=r"'mine:DETECTOR' .*is another one when it is fitted again"):
        detector.require_same_again(fitted, before, REFERENCE, seed=7)


def test_a_fit_that_the_seed_decides_passes(tmp_path: Path, bars: BarWindow) -> None:
    detector = _loaded(
        tmp_path, ("return Fitted(1.0)", "return Fitted(np.random.default_rng(seed).random())")
    )
    before = bars.until(REFERENCE.stop)
    fitted = detector.fit(before, REFERENCE, seed=7)
    detector.require_same_again(fitted, before, REFERENCE, seed=7)
    assert fitted.parameters != detector.fit(before, REFERENCE, seed=8).parameters


@pytest.mark.parametrize(
    ("shares", "why"),
    [
        ("return z", r"must give finite shares of shape \(4, 8\), not one of float64 of shape \(8, 4\)"),
        ("return z.T * np.nan", "must give finite shares"),
        ("return list(z.T)", "not a list"),
        ("return 1 / 0", "raised ZeroDivisionError when attributing"),
    ],
)
def test_shares_that_cannot_be_are_refused_by_name(
    tmp_path: Path, bars: BarWindow, shares: str, why: str
) -> None:
    method = "    def attribution(self, z):\n        "
    good, bad = (
        _fitted(tmp_path, bars, ("    def parameters", f"{method}{body}\n\n    def parameters"))
        for body in ("return z.T**2", shares)
    )
    z = bars.z[:, 30, 0]
    np.testing.assert_array_equal(good.attribution(z), z.T**2)
    with pytest.raises(PluginError, match=f"plug-in 'mine:DETECTOR' .*{why}"):
        bad.attribution(z)


def test_the_type_of_a_rule_is_its_own(tmp_path: Path) -> None:
    both = (
        '(Statistic("halt", channel="data", rule=True, type="temporal"), Statistic("a", type="collective"))'
    )
    detector = _loaded(tmp_path, ('(Statistic("distance"),)', both))
    assert (detector.type_of("halt"), detector.type_of(None)) == ("temporal", "collective")
    assert detector.type_of("a rule of before") == "statistical"
