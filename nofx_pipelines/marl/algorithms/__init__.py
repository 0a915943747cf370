"""How teams learn: one file each, which assigns ``ALGORITHM``.

An algorithm makes the environment, trains a `Policy` on it and returns it (`protocol.Algorithm`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nofx_pipelines.marl.algorithms.protocol import Algorithm


def algorithm(name: str, folder: Path | None = None) -> Algorithm:
    """The algorithm that ``nofx.toml`` names.

    Raises ConfigError for an unknown name, PluginError for one that breaks the protocol.
    """
    from nofx_pipelines.marl.algorithms.plugin import open_algorithm  # torch is loaded where agents learn

    return open_algorithm(name, folder)
