"""Dagster's settings under the home."""

from __future__ import annotations

from pathlib import Path

import pytest

from nofx_pipelines.cli.dagster_home import (
    accelerator_slots,
    instance_settings,
    missing_settings,
    prepare_dagster_home,
)
from nofx_pipelines.cores import cores

EARLIER = """\
# Written by nofx. Storage is SQLite in this folder; pools limit what shares an accelerator.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    default_limit: 3
"""


def test_one_heavy_step_a_gpu(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert accelerator_slots(tmp_path) == 2


def test_without_a_gpu_one_a_core(tmp_path: Path) -> None:
    assert accelerator_slots(tmp_path) == cores()


def test_what_an_earlier_version_wrote_gets_the_new_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NOFX_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    settings = tmp_path / "dagster" / "dagster.yaml"
    settings.parent.mkdir()
    settings.write_text(EARLIER)
    assert missing_settings(tmp_path) == ["run_launcher", "run_monitoring", "python_logs"]
    prepare_dagster_home(tmp_path)
    assert settings.read_text() == instance_settings()
    assert missing_settings(tmp_path) == []
    mine = EARLIER.replace("default_limit: 3", "default_limit: 3\n    granularity: run")
    settings.write_text(mine)
    prepare_dagster_home(tmp_path)
    assert settings.read_text() == mine
    assert missing_settings(tmp_path) == ["run_launcher", "run_monitoring", "python_logs"]


def test_settings_that_are_there_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOFX_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")  # put back after the test
    folder = prepare_dagster_home(tmp_path)
    settings = folder / "dagster.yaml"
    assert f"default_limit: {accelerator_slots()}" in settings.read_text()
    settings.write_text("mine: 1\n")
    prepare_dagster_home(tmp_path)
    assert settings.read_text() == "mine: 1\n"
