"""What teams act in: one file each, which assigns ``TASK``; it makes the floor for training and judging."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nofx_pipelines.marl.tasks.protocol import Task


def task(name: str, folder: Path | None = None) -> Task:
    """The task that ``nofx.toml`` names.

    Raises ConfigError for an unknown name, PluginError for one that breaks the protocol.
    """
    from nofx_pipelines.marl.tasks.plugin import open_task  # torch is loaded where tasks are used

    return open_task(name, folder)
