"""A kind of label that gives no labels is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.errors import PluginError
from nofx_pipelines.labels.compute import compute_labels
from nofx_pipelines.labels.kinds import CheckedLabel, LabelBars, use_label
from tests.labels.strategies import LONG_AFTER, daily_bars

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
        ("1 / 0", "raised ZeroDivisionError when labelling bars of an instrument: division"),
        (
            "Labelled(bars.ahead('close')[:, 3])",
            "raised IndexError when labelling bars of an instrument: index",
        ),
        (
            "Labelled(bars.ahead('hihg')[:, 1])",
            "raised ValueError .*: it looks at hihg",
        ),
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


CLOSES = {"A": [100.0, 101.0, 103.0, 102.0, 104.0], "B": [50.0, 51.0, 50.0, 52.0, 53.0, 54.0]}


@pytest.mark.parametrize(
    ("answer", "instrument", "row", "says"),
    [
        ("Labelled(np.where(value == 52.0, np.inf, value))", "B", 1, "gave an infinite value"),
        (
            "Labelled(value, np.where(value == 54.0, 7, side).astype(np.int8), touch)",
            "B",
            3,
            "gave a side of 7",
        ),
        ("Labelled(value, side, np.where(value == 102.0, 9, touch))", "A", 1, "decided a side 9 bars ahead"),
        ("Labelled(value, side, np.where(value == 104.0, 0, touch))", "A", 2, "gave a side where touch = 0"),
    ],
)
def test_a_bad_label_is_named_with_its_row_instrument_and_time(
    tmp_path: Path, answer: str, instrument: str, row: int, says: str
) -> None:
    label(tmp_path, answer)
    bars = daily_bars(CLOSES)
    closed = bars.filter(pl.col("instrument_id") == instrument)["ts_close"][row]
    where = rf"\({instrument}, row {row}, bar that closed at {closed:%Y-%m-%dT%H:%M:%S}\.0+ UTC\)"
    with pytest.raises(PluginError, match=rf"plug-in 'mine:LABEL' .*{says}.* {where}"):
        compute_labels(bars, CONFIG, known_until=LONG_AFTER, folder=tmp_path)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("Labelled(value) if len(bars) < 4 else 1 / 0", "when labelling bars of B: division by zero"),
        ("Labelled(value[:3])", r"answered value of type float64 and shape \(3,\): .* \(B\)"),
    ],
)
def test_what_it_raises_or_shapes_wrongly_is_named_with_the_instrument(
    tmp_path: Path, answer: str, says: str
) -> None:
    label(tmp_path, answer)
    with pytest.raises(PluginError, match=says):
        compute_labels(daily_bars(CLOSES), CONFIG, known_until=LONG_AFTER, folder=tmp_path)
