"""The leak check runs a universe's own kind of label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.config import FoldConfig, LabelConfig, UniverseConfig
from nofx_pipelines.errors import LeakError, PluginError
from nofx_pipelines.leakcheck import check_universe
from nofx_pipelines.leakcheck.report import LeakReport

from .worlds import daily

BARS = daily(6, 150).with_columns(pl.lit("unadjusted").alias("price_basis"))
UNIVERSE = UniverseConfig(
    "mine",
    "crypto",
    "1d",
    labels=LabelConfig(kind="mine:LABEL", horizon=5, sigma_bars=10),
    folds=FoldConfig(count=3, test_fraction=0.3, embargo_bars=2),
)


def checked(folder: Path, value: str) -> LeakReport:
    """The leak check of a universe whose label is one file, with this value."""
    (folder / "mine.py").write_text(
        "import numpy as np\n"
        "from nofx_pipelines.labels.kinds import Labelled\n"
        "class Mine:\n"
        "    def label(self, bars, config):\n"
        "        close = bars.ahead('close')\n"
        "        value = np.log(close[:, -1] / close[:, 0])\n"
        f"        return Labelled({value})\n"
        "LABEL = Mine()\n"
    )
    return check_universe(BARS, replace(UNIVERSE, plugins=folder), seed=1, cuts=2)


@pytest.mark.parametrize(
    "value",
    [
        "value",
        "np.log(bars.ahead('high')[:, 1:].max(axis=1) / close[:, 0])",
        "np.diff(np.log(close), axis=1).std(axis=1) - bars.sigma",
        "value - np.log(bars.back('volume')).mean(axis=1)",
    ],
)
def test_an_honest_label_passes(tmp_path: Path, value: str) -> None:
    report = checked(tmp_path, value)
    report.raise_if_leaky()
    assert report.compared["labels"] > 6 * 60
    assert report.compared["training_set"] > 6 * 50


@pytest.mark.parametrize(
    "value",
    [
        "value - value.mean()",
        "np.argsort(np.argsort(value)) / len(value)",
        "np.r_[value[3:], value[:3]]",
        "np.maximum.accumulate(value[::-1])[::-1]",
        "close[:, 0] / bars._path.columns['close'][-1]",
    ],
    ids=["less the mean of all", "rank in all", "a later row's", "the best to come", "the last close"],
)
def test_a_label_that_looks_past_its_horizon_is_named(tmp_path: Path, value: str) -> None:
    report = checked(tmp_path, value)
    named = {(leak.stage, leak.column) for leak in report.leaks}
    assert ("labels", "forward_return") in named
    assert {leak.cut for leak in report.leaks} == set(report.cuts)
    with pytest.raises(LeakError, match=r"labels\.forward_return moved in \d+ rows known at"):
        report.raise_if_leaky()


def test_bars_beyond_the_horizon_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"'mine:LABEL' .* raised IndexError .* index 6 is out of bounds"):
        checked(tmp_path, "close[:, config.horizon + 1]")
