"""Arbitrageur: trades the spread between instruments that moved together; paid for what is not beta."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nofx_pipelines.marl.roles.role import (
    Decision,
    Outcome,
    View,
    allowed,
    keep,
    legal,
    observation,
    pick,
    rule,
)


@dataclass(frozen=True)
class Arbitrageur:
    """Levels against the index; buys the cheap leg and, where allowed, sells the rich one."""

    name: str = "arbitrageur"
    actions: tuple[str, ...] = ("hold", "flat", "pair", "full_pair", "converged")
    trades: bool = True

    def observe(self, view: View, me: int) -> Tensor:
        """Relative level and beta of each instrument, the widest spread, dispersion."""
        seen = observation(view, me, ("relative", "beta"), ("dispersion",))
        return torch.cat([seen, _spread(view)[:, None].float()], dim=1)

    def mask(self, view: View, me: int) -> Tensor:
        """A pair needs two instruments and a spread of one standard deviation."""
        held, wide = view.held(me), _spread(view) > 1.0
        wide = wide & (view.price.shape[1] > 1)
        return legal(
            view, me, [held, wide, wide & (_spread(view) > 2.0), held & _converged(view, me).any(-1)]
        )

    def decide(self, view: View, me: int, action: Tensor) -> Decision:
        """Half or all on the cheap leg, the same against the rich leg where shorts are allowed."""
        relative = view.asset("relative")
        cheap, rich = _only(relative.argmin(-1), relative), _only(relative.argmax(-1), relative)
        full = cheap - rich * view.shortable
        out = torch.where(_converged(view, me), torch.zeros_like(full), keep(view))
        return Decision(target=pick([keep(view), torch.zeros_like(full), full / 2, full, out], action))

    def reward(self, outcome: Outcome, me: int) -> Tensor:
        """The own return less that of the positions' betas."""
        beta = (outcome.weights[:, me] * outcome.betas).sum(-1)
        return outcome.own[:, me] - beta * outcome.index

    def baseline(self, view: View, me: int) -> Tensor:
        """In at two standard deviations, out when the cheap leg is back."""
        mask = self.mask(view, me)
        wanted = rule(view, me, (mask[:, 4], 4), ((_spread(view) > 2.0) & ~view.held(me), 2))
        return allowed(wanted, mask)


ROLE = Arbitrageur()


def _spread(view: View) -> Tensor:
    relative = view.asset("relative")
    return relative.amax(-1) - relative.amin(-1)


def _converged(view: View, me: int) -> Tensor:
    return (view.weights[:, me].abs() > 1e-6) & (view.asset("relative").abs() < 0.5)


def _only(place: Tensor, like: Tensor) -> Tensor:
    return torch.zeros_like(like, dtype=torch.float64).scatter(-1, place[:, None], 1.0)
