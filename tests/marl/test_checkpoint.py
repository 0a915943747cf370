"""Resuming is bit for bit, whenever the kill came."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from nofx_pipelines.errors import ConfigError, IntegrityError
from nofx_pipelines.marl.algorithms import maddpg, mappo
from nofx_pipelines.marl.checkpoint import load_checkpoint, save_checkpoint
from nofx_pipelines.marl.communication import MessageConfig
from nofx_pipelines.marl.games.speaker_listener import SpeakerListener
from nofx_pipelines.marl.policy import Policy, PolicyConfig

MAPPO = mappo.MappoConfig(
    iterations=8,
    horizon=6,
    checkpoint_every=1,
    policy=PolicyConfig(hidden=(8,), message=MessageConfig(words=1)),
)
MADDPG = maddpg.MaddpgConfig(
    iterations=8,
    horizon=6,
    checkpoint_every=1,
    updates=2,
    batch=32,
    warm_up=60,
    buffer=200,
    policy=PolicyConfig(hidden=(8,), last_gain=1.0),
)
CASES: list[tuple[Any, Any]] = [(mappo, MAPPO), (maddpg, MADDPG)]


def _train(module: Any, config: Any, path: Path | None, **more: Any) -> Policy:
    return module.train(lambda: SpeakerListener(8), config, seed=3, checkpoint=path, **more)  # type: ignore[no-any-return]


def _same(a: Policy, b: Policy) -> bool:
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


@pytest.mark.parametrize(("module", "config"), CASES, ids=["mappo", "maddpg"])
@pytest.mark.parametrize("stop", [1, 3, 7])
def test_stopped_and_resumed_equals_uninterrupted(
    module: Any, config: Any, stop: int, tmp_path: Path
) -> None:
    path = tmp_path / "run.ckpt"
    _train(module, dataclasses.replace(config, iterations=stop), path)
    assert _same(_train(module, config, path), _train(module, config, None))


@pytest.mark.parametrize(("name", "config"), [("mappo", MAPPO), ("maddpg", MADDPG)])
def test_killed_at_random_moments_it_ends_where_an_uninterrupted_run_does(
    name: str, config: Any, tmp_path: Path
) -> None:
    path = tmp_path / "run.ckpt"
    code = f"""
import sys
from pathlib import Path
from tests.marl.test_checkpoint import CASES, _train
module, config = CASES[{0 if name == "mappo" else 1}]
_train(module, config, Path(sys.argv[1]))
"""
    kills = 0
    for attempt in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and child.poll() is None:
            if (
                path.exists()
                and kills < 3
                and json.loads(path.read_bytes().split(b"\n")[0])["progress"]["iteration"] >= 2 * attempt + 1
            ):
                child.kill()
                kills += 1
            time.sleep(0.003)
        if child.wait() == 0:
            break
    module = CASES[0 if name == "mappo" else 1][0]
    assert kills
    assert _same(_train(module, config, path), _train(module, config, None))


def test_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    _train(mappo, dataclasses.replace(MAPPO, iterations=1), path)
    with pytest.raises(ConfigError, match="was written with other settings"):
        _train(mappo, dataclasses.replace(MAPPO, gamma=0.5), path)


def test_what_was_written_is_read_and_a_flipped_bit_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    save_checkpoint(path, {"a": torch.arange(6).reshape(2, 3), "b": torch.rand(4)}, {"iteration": 5})
    tensors, progress = load_checkpoint(path)
    assert progress == {"iteration": 5}
    assert tensors["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="has SHA-256"):
        load_checkpoint(path)
    path.write_bytes(b"not one")
    with pytest.raises(IntegrityError, match="is no checkpoint"):
        load_checkpoint(path)
