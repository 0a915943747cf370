"""A role of a plug-in: whatever it raises or returns wrongly is refused by its name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nofx_pipelines.marl.plugin_checks import FLOATS, require_tensor
from nofx_pipelines.marl.roles.role import HOLD, Decision, Outcome, Quotes, Role, View
from nofx_pipelines.plugins import Reference


class PluginRole:
    """A `Role` that calls the plug-in's; PluginError for what it must not do."""

    def __init__(self, role: Role, reference: Reference) -> None:
        self._reference, self._role = reference, role
        self.name, self.actions, self.trades = role.name, role.actions, role.trades
        self._widths: dict[tuple[int, ...], int] = {}

    def observe(self, view: View, me: int) -> Tensor:
        """Observation ``[E, F]`` float32, finite; as wide as the first for these instruments and agents."""
        with self._reference.guard("observing"):
            value = self._role.observe(view, me)
        copies, *world = view.weights.shape
        shape = (copies, self._widths.get(tuple(world)))
        observation = self._tensor("the observation", value, shape, view.price, [torch.float32])
        self._widths[tuple(world)] = observation.shape[1]
        return observation

    def mask(self, view: View, me: int) -> Tensor:
        """Legal actions ``[E, K]``, ``hold`` among them."""
        with self._reference.guard("saying what is legal"):
            value = self._role.mask(view, me)
        shape = (len(view.price), len(self.actions))
        mask = self._tensor("the mask", value, shape, view.price, [torch.bool])
        if not bool(mask[:, HOLD].all()):
            raise self._reference.refuse("does not allow 'hold' everywhere")
        return mask

    def decide(self, view: View, me: int, action: Tensor) -> Decision:
        """What ``action [E]`` asks for."""
        with self._reference.guard("deciding"):
            value = self._role.decide(view, me, action)
        if not isinstance(value, Decision):
            raise self._reference.refuse(f"decides {type(value).__name__}, not a Decision")
        return Decision(
            target=self._unless_none("the target", value.target, view.price),
            quotes=None if value.quotes is None else self._quotes(value.quotes, view.price),
            budget=self._limit("the budget", value.budget, view.budget),
            cap=self._limit("the cap", value.cap, view.cap),
        )

    def reward(self, outcome: Outcome, me: int) -> Tensor:
        """Reward ``[E]`` of a bar, finite."""
        with self._reference.guard("paying itself"):
            value = self._role.reward(outcome, me)
        return self._tensor("the reward", value, tuple(outcome.team.shape), outcome.team)

    def baseline(self, view: View, me: int) -> Tensor:
        """The rule: legal actions ``[E]``."""
        with self._reference.guard("following its rule"):
            value = self._role.baseline(view, me)
        action = self._tensor("the rule's actions", value, (len(view.price),), view.price, [torch.int64])
        last = len(self.actions) - 1
        inside = (action >= 0) & (action <= last)
        legal = self.mask(view, me).gather(1, action.clamp(0, last)[:, None])[:, 0]
        if not bool((inside & legal).all()):
            wrong = int(action[~(inside & legal)][0])
            raise self._reference.refuse(f"has a rule that takes action {wrong}, which is not legal then")
        return action

    def _tensor(
        self,
        what: str,
        value: object,
        shape: tuple[int | None, ...],
        beside: Tensor,
        dtypes: Sequence[torch.dtype] = FLOATS,
        *,
        nan: bool = False,
    ) -> Tensor:
        """The value, if it is such a tensor on the device of ``beside``."""
        return require_tensor(self._reference, what, value, shape, dtypes, nan=nan, device=beside.device)

    def _unless_none(self, what: str, value: Tensor | None, like: Tensor) -> Tensor | None:
        """None, or a tensor in which NaN keeps things as they are, of the shape of ``like``."""
        return None if value is None else self._tensor(what, value, tuple(like.shape), like, nan=True)

    def _limit(self, what: str, value: Tensor | None, like: Tensor) -> Tensor | None:
        limit = self._unless_none(what, value, like)
        if limit is not None and bool((outside := (limit < 0) | (limit > 1)).any()):
            raise self._reference.refuse(f"sets {what} to {float(limit[outside][0])}; it is 0 to 1")
        return limit

    def _quotes(self, quotes: object, like: Tensor) -> Quotes:
        if not isinstance(quotes, Quotes):
            raise self._reference.refuse(f"quotes {type(quotes).__name__}, not Quotes")
        sides = {
            name: self._tensor(f"the quotes' {name}", value, tuple(like.shape), like)
            for name, value in vars(quotes).items()
        }
        if any(bool((value < 0).any()) for value in sides.values()):
            raise self._reference.refuse("quotes a size or a price below 0")
        return Quotes(**sides)
