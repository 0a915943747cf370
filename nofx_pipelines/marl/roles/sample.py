"""Closes and outcomes made up one number at a time, for trying a role or a reward on."""

from __future__ import annotations

from typing import Any

import torch

from nofx_pipelines.marl.features import ASSET_FEATURES, MARKET_FEATURES
from nofx_pipelines.marl.roles.role import Outcome, View

_DTYPES = {"ruined": torch.bool, "shortable": torch.bool, "traders": torch.bool, "age": torch.int64}


def sample_view(n_envs: int = 1, agents: int = 8, n: int = 3, **given: Any) -> View:
    """A calm close: nothing held, everything allowed.

    Parameters
    ----------
    n_envs, agents, n:
        E copies, A agents and N instruments.
    given:
        Fields of `View`, or features by name: ``momentum_20`` ``[E, N]``, ``breadth`` ``[E]``; anything that
        expands to the shape.

    Examples
    --------
    >>> sample_view(agents=1, momentum_20=[[1.0, 2.0, 3.0]]).asset("momentum_20").tolist()
    [[1.0, 2.0, 3.0]]
    """
    features = torch.zeros(n_envs, n, len(ASSET_FEATURES))
    indicators = torch.zeros(n_envs, len(MARKET_FEATURES))
    for place, name in enumerate(ASSET_FEATURES):
        if name in given:
            features[..., place] = torch.as_tensor(given.pop(name))
    for place, name in enumerate(MARKET_FEATURES):
        if name in given:
            indicators[:, place] = torch.as_tensor(given.pop(name))
    shapes = {
        "price": (n_envs, n),
        "sigma": (n_envs, n),
        "tick": (n_envs, n),
        "weights": (n_envs, agents, n),
        "sellable": (n_envs, agents, n),
        "growth": (n_envs, agents),
        "drawdown": (n_envs, agents),
        "recent": (n_envs, agents, 20),
        "budget": (n_envs, agents),
        "cap": (n_envs,),
        "team_weights": (n_envs, n),
        "team_drawdown": (n_envs,),
        "team_recent": (n_envs, 20),
        "ruined": (n_envs, agents),
        "shortable": (n,),
        "traders": (agents,),
        "age": (n_envs,),
    }
    defaults = {"price": 10.0, "sigma": 0.02, "tick": 0.01, "budget": 1.0, "cap": 1.0}
    traders = torch.tensor([True] * 6 + [False] * max(agents - 6, 0))[:agents]
    values = defaults | {"traders": traders} | given
    fields = {
        name: torch.as_tensor(values.get(name, 0), dtype=_DTYPES.get(name, torch.float64))
        .expand(shape)
        .clone()
        for name, shape in shapes.items()
    }
    return View(features=features, indicators=indicators, **fields)


def sample_outcome(n_envs: int = 1, agents: int = 8, n: int = 3, **given: Any) -> Outcome:
    """A bar on which nothing happened but what is ``given``, fields of `Outcome`."""
    shapes = {
        "own": (n_envs, agents),
        "team": (n_envs,),
        "index": (n_envs,),
        "assets": (n_envs, n),
        "weights": (n_envs, agents, n),
        "betas": (n_envs, n),
        "share": (n_envs, agents),
        "drawdown": (n_envs,),
        "deeper": (n_envs,),
    }
    return Outcome(
        **{
            name: torch.as_tensor(given.get(name, 0.0), dtype=torch.float64).expand(shape).clone()
            for name, shape in shapes.items()
        }
    )
