"""The folder of kinds is the list of kinds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nofx_pipelines import plugins
from nofx_pipelines.config import LabelConfig
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.labels.compute import compute_labels
from nofx_pipelines.labels.kinds import LabelBars, use_label
from tests.labels.strategies import LONG_AFTER, daily_bars, random_walk
from tests.member_files import members_of

CONFIG = LabelConfig(kind="mine:LABEL", horizon=3, sigma_bars=4)
BARS = daily_bars({"A": list(random_walk(1, 60))}).with_columns(
    high=pl.col("close") * 1.01, volume=pl.int_range(pl.len()).cast(pl.Float64)
)
WALK = BARS["close"].to_numpy()


def labelled_by(body: str, folder: Path) -> list[float | None]:
    """Values of `BARS` by a kind of one file, whose label has this body."""
    (folder / "mine.py").write_text(
        "import numpy as np\n"
        "from nofx_pipelines.labels.kinds import Labelled\n"
        "class Mine:\n"
        f"    def label(self, bars, config):\n        {body}\n"
        "LABEL = Mine()\n"
    )
    return compute_labels(BARS, CONFIG, known_until=LONG_AFTER, folder=folder)["forward_return"].to_list()


def test_every_file_that_assigns_a_label_is_a_kind() -> None:
    assert plugins.builtin_names("labels") == members_of("labels")
    assert {"triple_barrier", "forward_return"} <= set(members_of("labels"))


@pytest.mark.parametrize("name", plugins.builtin_names("labels"))
def test_each_is_loaded_by_its_file_s_name_and_labels(name: str) -> None:
    kind = use_label(name)
    assert type(kind.kind).__module__ == f"nofx_pipelines.labels.kinds.{name}"
    labelled = kind.label(LabelBars.of(CONFIG, close=WALK), CONFIG)
    assert np.isfinite(labelled.value).any()


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"label 'tripel' .*known are .*forward_return, .*triple_barrier"):
        compute_labels(BARS, LabelConfig(kind="tripel"), known_until=LONG_AFTER)


def test_realised_volatility_can_be_learned(tmp_path: Path) -> None:
    body = "return Labelled(np.diff(np.log(bars.ahead('close')), axis=1).std(axis=1))"
    expected = [np.diff(np.log(WALK[t : t + 4])).std() for t in range(57)]
    assert labelled_by(body, tmp_path) == pytest.approx([*expected, None, None, None])


def test_the_high_within_the_horizon_can_be_learned(tmp_path: Path) -> None:
    body = "return Labelled(np.log(bars.ahead('high')[:, 1:].max(axis=1) / bars.ahead('close')[:, 0]))"
    expected = [float(np.log(1.01 * WALK[t + 1 : t + 4].max() / WALK[t])) for t in range(57)]
    assert labelled_by(body, tmp_path) == pytest.approx([*expected, None, None, None])


def test_volume_against_the_bars_before_can_be_learned(tmp_path: Path) -> None:
    body = "return Labelled(bars.ahead('volume')[:, -1] - bars.back('volume').mean(axis=1))"
    assert labelled_by(body, tmp_path) == pytest.approx([None] * 4 + [5.0] * 53 + [None] * 3)


def test_the_skeleton_is_a_label_and_passes_its_own_test(tmp_path: Path) -> None:
    shelf = Path(plugins.__file__).parent / "skeletons"
    for template, name in (("labels.py.txt", "mine.py"), ("labels_test.py.txt", "test_mine.py")):
        (tmp_path / name).write_text((shelf / template).read_text().replace("__NAME__", "mine"))
    ours = compute_labels(BARS, CONFIG, known_until=LONG_AFTER, folder=tmp_path)
    sigma = LabelBars.of(CONFIG, close=WALK).sigma
    assert ours["forward_return"][4:57].to_list() == pytest.approx(
        (np.log(WALK[7:] / WALK[4:-3]) / (sigma[4:] * np.sqrt(3))).tolist()
    )
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
