"""Dagster's own folder under the home: written once, before any process opens the instance."""

from __future__ import annotations

import os
from pathlib import Path

_YAML = """\
# Written by nofx. Storage is SQLite in this folder; pools limit what shares an accelerator.
telemetry:
  enabled: false
concurrency:
  pools:
    default_limit: 1
"""


def prepare_dagster_home(home: Path) -> Path:
    """Create ``home/dagster`` with its ``dagster.yaml`` and point this process at both."""
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        draft = settings.with_suffix(f".{os.getpid()}.part")
        draft.write_text(_YAML, encoding="utf-8")
        draft.replace(settings)
    os.environ["NOFX_HOME"] = str(home)
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder
