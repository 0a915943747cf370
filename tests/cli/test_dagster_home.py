"""Dagster's settings under the home."""

from __future__ import annotations

from pathlib import Path

import pytest

from nofx_pipelines.cli.dagster_home import accelerator_slots, prepare_dagster_home
from nofx_pipelines.cores import cores


def test_one_heavy_step_a_gpu(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert accelerator_slots(tmp_path) == 2


def test_without_a_gpu_one_a_core(tmp_path: Path) -> None:
    assert accelerator_slots(tmp_path) == cores()


def test_settings_that_are_there_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOFX_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")  # put back after the test
    folder = prepare_dagster_home(tmp_path)
    settings = folder / "dagster.yaml"
    assert f"default_limit: {accelerator_slots()}" in settings.read_text()
    settings.write_text("mine: 1\n")
    prepare_dagster_home(tmp_path)
    assert settings.read_text() == "mine: 1\n"
