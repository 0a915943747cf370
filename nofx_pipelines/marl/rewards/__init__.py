"""What agents are paid: one file each, which assigns ``REWARD``; an agent gets the sum of those named.

``role`` is what each role itself is paid for; others are added to it, or stand instead of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nofx_pipelines.marl.rewards.protocol import Reward


def rewards(names: Sequence[str], folder: Path | None = None) -> tuple[Reward, ...]:
    """The rewards that ``nofx.toml`` names.

    Raises ConfigError for an unknown name, PluginError for one that breaks the protocol.
    """
    from nofx_pipelines.marl.rewards.plugin import open_reward  # torch is loaded where rewards are used

    return tuple(open_reward(name, folder) for name in names)
