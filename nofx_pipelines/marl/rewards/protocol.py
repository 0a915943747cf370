"""What a reward is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from nofx_pipelines.marl.roles.role import Outcome, Role


class Reward(Protocol):
    """A part of what an agent is paid for a bar."""

    @property
    def name(self) -> str:
        """As messages show it."""
        ...

    def value(self, outcome: Outcome, roles: Sequence[Role], me: int) -> Tensor:
        """What agent ``me`` is paid for a bar.

        Parameters
        ----------
        outcome:
            What the bar brought to all, in percent.
        roles:
            Of all agents, in the order of the tensors' second axis.
        me:
            The agent's place among them.

        Returns
        -------
        Tensor
            ``[E]``, float64 or float32, finite; in percent, as returns are.
        """
        ...
