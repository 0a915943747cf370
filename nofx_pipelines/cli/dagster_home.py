"""Dagster's own folder under the home: written once, before any process opens the instance."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nofx_pipelines.cores import cores
from nofx_pipelines.home_path import checked_path

_YAML = """\
# Written by nofx. Storage is SQLite in this folder; pools limit what shares an accelerator.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    default_limit: {slots}
# runs whose process is gone are reported failed, and give back what they held of the pools
run_launcher:
  module: resources.run_launcher
  class: WatchedRunLauncher
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  cancel_timeout_seconds: 120
  poll_interval_seconds: 15
  free_slots_after_run_end_seconds: 30
# what a stage waits for shows in the run's own log
python_logs:
  managed_python_loggers: [nofx_pipelines.file_lock]
"""

_EARLIER = """\
# Written by nofx. Storage is SQLite in this folder; pools limit what shares an accelerator.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    default_limit: {slots}
"""
"""What earlier versions wrote: replaced where nobody has changed it since."""


_WORKSPACE = """\
load_from:
  - python_module:
      module_name: nofx_pipelines.definitions
      location_name: nofx
"""


def accelerator_slots(devices: Path = Path("/dev")) -> int:
    """Heavy steps that may run at once: one a GPU, or one a core where there is none.

    Told from the devices' names, since asking torch takes seconds.
    """
    gpus = [entry for entry in devices.glob("nvidia*") if entry.name.removeprefix("nvidia").isdigit()]
    return len(gpus) or cores()


def instance_settings() -> str:
    """The text of ``dagster.yaml`` for this machine."""
    return _YAML.format(slots=accelerator_slots())


def missing_settings(home: Path) -> list[str]:
    """The sections that this version writes and the home's ``dagster.yaml``, changed by hand, has not."""
    import yaml  # type: ignore[import-untyped]  # no stubs, Dagster brings it

    path = home / "dagster" / "dagster.yaml"
    if not path.exists():
        return []
    own = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return [name for name in yaml.safe_load(instance_settings()) if name not in own]


def _from_earlier_version(path: Path) -> bool:
    """Whether ``path`` is what an earlier version wrote, whatever the number of slots."""
    pattern = re.escape(_EARLIER).replace(re.escape("{slots}"), r"\d+")
    return re.fullmatch(pattern, path.read_text(encoding="utf-8")) is not None


def prepare_dagster_home(home: Path) -> Path:
    """Create ``home/dagster`` with its settings and workspace, and point this process at the home."""
    folder = checked_path(home) / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("dagster.yaml", instance_settings()), ("workspace.yaml", _WORKSPACE)):
        if not (folder / name).exists() or _from_earlier_version(folder / name):
            draft = folder / f".{name}.{os.getpid()}.part"
            draft.write_text(text, encoding="utf-8")
            draft.replace(folder / name)
    os.environ["NOFX_HOME"] = str(home)
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder
