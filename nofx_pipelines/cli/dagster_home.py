"""Dagster's own folder under the home: written once, before any process opens the instance."""

from __future__ import annotations

import os
from pathlib import Path

from nofx_pipelines.cores import cores

_YAML = """\
# Written by nofx. Storage is SQLite in this folder; pools limit what shares an accelerator.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    default_limit: {slots}
"""


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


def prepare_dagster_home(home: Path) -> Path:
    """Create ``home/dagster`` with its settings and workspace, and point this process at the home."""
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("dagster.yaml", instance_settings()), ("workspace.yaml", _WORKSPACE)):
        if not (folder / name).exists():
            draft = folder / f".{name}.{os.getpid()}.part"
            draft.write_text(text, encoding="utf-8")
            draft.replace(folder / name)
    os.environ["NOFX_HOME"] = str(home)
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder
