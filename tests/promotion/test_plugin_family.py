"""A user's family goes all the way: studied, best of the contest, trained, registered, judged, reproduced."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nofx_pipelines import plugins
from nofx_pipelines.errors import CodeChanged, ConfigError, PluginError
from nofx_pipelines.promotion.candidate import PARITY, PARITY_METRIC
from nofx_pipelines.promotion.reproduce import reproduce
from nofx_pipelines.registry.lineage import package_version
from tests.chain import Chain
from tests.skeleton_files import write_skeleton

MINE = "mine:FAMILY"


@pytest.fixture
def with_mine(chain: Chain) -> Chain:
    """A home with a plug-in family that was the best of its universe by validation."""
    folder = chain.home / plugins.FOLDER
    write_skeleton("families", folder)
    edited = chain.set(families=("ridge", "gbdt", MINE), plugins=folder)
    edited.compute("hpo_study", force=True)
    table = edited.table("hpo_trials")
    stamp, trials = table.stamp(), table.scan().collect()
    assert stamp is not None
    better = [
        [values[0] + (0.9 if family == MINE else 0.0), *values[1:]]
        for values, family in trials.select("values", "family").iter_rows()
    ]
    trials = trials.with_columns(pl.Series("values", better, dtype=pl.List(pl.Float64)))
    table.overwrite(trials, code_version=stamp.code_version, inputs=stamp.inputs)
    edited.compute("candidate_model", force=True)
    return edited


def _version(chain: Chain) -> str:
    board = chain.table("leaderboard").scan().filter(pl.col("kind") == "candidate").collect()
    return f"{chain.universe.model_name}/{board['version'][0]}"


def test_it_is_registered_served_and_reproduced_byte_for_byte(with_mine: Chain) -> None:
    chain, name = with_mine, _version(with_mine)
    board = chain.table("leaderboard").scan().filter(pl.col("kind") == "candidate").collect()
    assert board.filter(pl.col("metric") == PARITY_METRIC)["value"][0] <= PARITY
    assert np.isfinite(board.filter(pl.col("metric") == "rank_ic")["value"][0])
    lineage = chain.tracker.lineage(name)
    reference = plugins.find("families", MINE, chain.universe.plugins)
    assert (lineage.family, dict(lineage.plugins)) == (MINE, {f"families {MINE}": reference.digest()})
    assert set(lineage.libraries or {}) == {"numpy", "onnx"}
    assert lineage.nofx_version == package_version()
    chain.compute("champion", force=True)
    again = reproduce(chain.tracker, chain.lake, name)
    assert again.identical, str(again)
    assert reproduce(chain.tracker, chain.lake, name.replace(name.split("/")[1], "1")).identical  # the ridge


def test_its_files_lie_beside_the_onnx_and_restore_it(with_mine: Chain) -> None:
    from nofx_pipelines.models.families import family

    loaded = with_mine.tracker.load(_version(with_mine))
    (onnx,) = [p for p in with_mine.tracker.artifacts.rglob("model.onnx") if p.read_bytes() == loaded.onnx]
    files = {name: (onnx.parent / name).read_bytes() for name in ("weights.safetensors", "model.json")}
    assert family(MINE, with_mine.universe.plugins).restore(files).to_onnx() == loaded.onnx


def test_other_sources_than_recorded_are_refused_by_name(with_mine: Chain) -> None:
    file = with_mine.home / plugins.FOLDER / "mine.py"
    recorded = plugins.find("families", MINE, file.parent).digest()
    file.write_text(file.read_text().replace("range(500)", "range(3)"))
    here = plugins.find("families", MINE, file.parent).digest()
    words = f"was trained by plug-in 'families mine:FAMILY' with sources {recorded}, here they are {here}"
    with pytest.raises(CodeChanged, match=f"{words}; nothing was trained. Next: put its file back"):
        reproduce(with_mine.tracker, with_mine.lake, _version(with_mine))


def test_a_home_without_the_file_says_so_and_its_model_still_loads(with_mine: Chain) -> None:
    (with_mine.home / plugins.FOLDER / "mine.py").unlink()
    with pytest.raises(ConfigError, match=r"'mine:FAMILY'.*mine\.py is not there"):
        reproduce(with_mine.tracker, with_mine.lake, _version(with_mine))
    loaded = with_mine.tracker.load(_version(with_mine))
    assert np.isfinite(loaded.predict(np.zeros((2, len(loaded.feature_names))))).all()


def test_a_copied_home_brings_its_family(with_mine: Chain, tmp_path: Path) -> None:
    """Reproduced by the copy's own file, wherever the home lies."""
    other = with_mine.copied(tmp_path / "elsewhere")
    shutil.rmtree(with_mine.home / plugins.FOLDER)
    assert reproduce(other.tracker, other.lake, _version(other)).identical


def test_one_that_breaks_after_its_study_names_itself_and_nothing_is_registered(with_mine: Chain) -> None:
    file = with_mine.home / plugins.FOLDER / "mine.py"
    file.write_text(
        file.read_text().replace("        missing = part.then", "        1 / 0\n        missing = part.then")
    )
    before = with_mine.tracker.models().height
    board = with_mine.table("leaderboard").version()
    with pytest.raises(
        PluginError, match=r"plug-in 'mine:FAMILY' .* ZeroDivisionError when exporting it to ONNX"
    ):
        with_mine.compute("candidate_model", force=True)
    assert with_mine.table("leaderboard").version() == board
    newer = with_mine.tracker.models()
    assert newer.height == before + 1  # the ridge that was trained first
    assert json.loads(newer["data_versions"][-1])
