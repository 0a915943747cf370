"""What agents there are: one file each, which assigns ``ROLE``.

A role sees, may do and is paid for something of its own (`role.Role`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nofx_pipelines.marl.roles.role import Role


def roles(names: Sequence[str], folder: Path | None = None) -> tuple[Role, ...]:
    """The roles of a team, in the order of their names in ``nofx.toml``.

    Raises ConfigError for an unknown name, a team in which nobody trades or that is too large, PluginError
    for two roles of one name or one that breaks the protocol.
    """
    from nofx_pipelines.marl.roles.opening import open_roles  # torch is loaded where roles are used

    return open_roles(names, folder)
