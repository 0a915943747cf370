"""A checkpoint is gone on from only by the training that wrote it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nofx_pipelines.config import MarlConfig, UniverseConfig
from nofx_pipelines.marl.refresh import _identity
from tests.marl.roles.test_opening import PLAIN
from tests.marl.worlds import write_member


def test_another_training_has_another_checkpoint(tmp_path: Path) -> None:
    marl = MarlConfig(roles=("hedger", "mine:ROLE"))
    universe = UniverseConfig(name="cn", market="cn", freq="1d", marl=marl)
    homes = [write_member(tmp_path / name, PLAIN + f"# {text}\n") for name, text in ("xx", "yx", "zz")]
    first, same, other = (
        _identity(dataclasses.replace(universe, plugins=folder), "i", "c") for folder in homes
    )
    assert first == same
    assert first != other
    paid = dataclasses.replace(universe, plugins=homes[0], marl=dataclasses.replace(marl, rewards=("team",)))
    assert _identity(paid, "i", "c") != first
    assert _identity(dataclasses.replace(universe, plugins=homes[0]), "j", "c") != first
