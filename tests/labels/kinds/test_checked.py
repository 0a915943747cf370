"""A kind of label that gives no labels is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.errors import PluginError
from nofx_pipelines.labels.kinds import CheckedLabel, LabelBars, use_label

CONFIG = LabelConfig(kind="mine:LABEL", horizon=2, sigma_bars=2)
BARS = LabelBars.of(CONFIG, close=np.array([100.0, 101.0, 103.0, 102.0, 104.0]))  # three rows


def label(folder: Path, answer: str) -> CheckedLabel:
    """A kind of one file whose label returns ``answer``."""
    (folder / "mine.py").write_text(
        "import numpy as np\n"
        "from nofx_pipelines.labels.kinds import Labelled\n"
        "class Mine:\n"
        "    def label(self, bars, config):\n"
        "        value = bars.ahead('close')[:, -1]\n"
        "        side, touch = np.sign(value - 103.5).astype(np.int8), np.full(len(bars), 2)\n"
        f"        return {answer}\n"
        "LABEL = Mine()\n"
    )
    return use_label(CONFIG.kind, folder)


def test_values_and_sides_are_taken_over(tmp_path: Path) -> None:
    labelled = label(tmp_path, "Labelled(value, side, touch)").label(BARS, CONFIG)
    assert labelled.value.tolist() == [103.0, 102.0, 104.0]
    assert labelled.side is not None
    assert labelled.side.tolist() == [-1, -1, 1]
    alone = label(tmp_path, "Labelled(value)").label(BARS, CONFIG)
    assert alone.side is alone.touch is None


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("1 / 0", "raised ZeroDivisionError when labelling bars: division by zero"),
        ("Labelled(bars.ahead('close')[:, 3])", "raised IndexError when labelling bars: index 3 is out of"),
        ("Labelled(bars.ahead('hihg')[:, 1])", "raised ValueError when labelling bars: it looks at hihg"),
        ("value", "answered with a ndarray, not a Labelled"),
        ("None", "answered with a NoneType, not a Labelled"),
        ("Labelled([1.0, 2.0, 3.0])", "answered value = a list, not an array"),
        (
            "Labelled(value[1:])",
            r"answered value of type float64 and shape \(2,\): it is float64 of shape \(3,\)",
        ),
        ("Labelled(bars.ahead('close'))", r"answered value of type float64 and shape \(3, 3\)"),
        (
            "Labelled(value.astype(np.float32))",
            r"answered value of type float32 and shape \(3,\): it is float64",
        ),
        ("Labelled(value / 0.0)", "gave an infinite value: NaN is the unknown"),
        ("Labelled(value, side)", "answered one of side and touch without the other"),
        ("Labelled(value, touch=touch)", "answered one of side and touch without the other"),
        ("Labelled(value, side * 1.0, touch)", "answered side of type float64"),
        ("Labelled(value, side, touch.astype(np.int32))", "answered touch of type int32"),
        ("Labelled(value, side * np.int8(2), touch)", "gave a side of -2: it is -1, 0 or 1"),
        ("Labelled(value, side, touch + 1)", "decided a side 3 bars ahead: it is 1 to horizon = 2, or 0"),
        ("Labelled(value, side, touch - 3)", "decided a side -1 bars ahead: it is 1 to horizon = 2, or 0"),
        ("Labelled(value, side, touch * 0)", "gave a side where touch = 0, which says that none was decided"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_are_no_labels_is_refused_by_name(tmp_path: Path, answer: str, says: str) -> None:
    mine = label(tmp_path, answer)
    with pytest.raises(PluginError, match=rf"plug-in 'mine:LABEL' \(label, .*mine\.py\) {says}"):
        mine.label(BARS, CONFIG)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nowhere_to_be_found", "raised ModuleNotFoundError when importing it"),
        ("LABEL = 3", r"has no method label\(bars, config\)"),
        ("label = 3", "has no 'LABEL'; it has label"),
        (
            "class Mine:\n    def label(self, bars, config): ...\nLABEL = Mine",
            r"is the class Mine: assign an instance, Mine\(\)",
        ),
        (
            "class Mine:\n    name = 'triple_barrier'\n    def label(self, *given): ...\nLABEL = Mine()",
            "calls itself 'triple_barrier', which is a built-in label",
        ),
    ],
)
def test_what_is_no_label_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(PluginError, match=rf"'mine:LABEL' .*{says}"):
        use_label(CONFIG.kind, tmp_path)
