"""Opening the roles that ``nofx.toml`` names: each is tried once on a small close before it is used."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from nofx_pipelines.errors import ConfigError
from nofx_pipelines.marl.plugin_checks import require_protocol
from nofx_pipelines.marl.roles.plugin import PluginRole
from nofx_pipelines.marl.roles.role import HOLD, Decision, Role
from nofx_pipelines.marl.roles.sample import sample_outcome, sample_view
from nofx_pipelines.plugins import Reference, find

MOST_ROLES = 12
"""Credit runs each of the 2^R teams that R roles can form: 4,096 side by side."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
"""Tables name policies ``agents/<role>`` and figures ``<policy>:<figure>``."""
_METHODS = ("observe", "mask", "decide", "reward", "baseline")
_COPIES, _INSTRUMENTS = 17, 14
"""Of the small close: no two of copies, instruments and agents are as many, so that axes are told apart."""


def open_roles(names: Sequence[str], folder: Path | None) -> tuple[Role, ...]:
    """The roles by name; `nofx_pipelines.marl.roles.roles` says what is refused."""
    if len(names) > MOST_ROLES:
        raise ConfigError(
            f"{len(names)} roles: credit runs every one of the 2^{len(names)} teams that they can form, "
            f"so there are at most {MOST_ROLES}",
            kept="no agent was trained",
            hint="leave out roles in [universes.NAME.marl]",
        )
    opened: dict[str, tuple[Reference, Role]] = {}
    for name in names:
        reference = find("roles", name, folder)
        role = open_role(reference)
        if role.name in opened:
            raise reference.refuse(f"calls itself {role.name!r}, as {opened[role.name][0].shown} does")
        opened[role.name] = (reference, role)
    team = tuple(role for _, role in opened.values())
    if not any(role.trades for role in team):
        raise ConfigError(
            f"roles = {list(names)}: none of them trades, so there is nothing to manage",
            kept="no agent was trained",
            hint="add one with an account, trend_follower for one",
        )
    traders = torch.tensor([role.trades for role in team])
    for me, (reference, role) in enumerate(opened.values()):
        if reference.origin != "built-in":
            _try_out(reference, role, me, traders)
    return team


def open_role(reference: Reference) -> Role:
    """One role, with its description checked; PluginError for a plug-in that is none."""
    role: Role = reference.load()
    if reference.origin == "built-in":
        return role
    with reference.guard("saying what it is"):
        _require_description(reference, role)
    return PluginRole(role, reference)


def _require_description(reference: Reference, role: Role) -> None:
    """Refuse another name, other actions, or no word on trading than the protocol has."""
    require_protocol(reference, role, _METHODS)
    if not _NAME.fullmatch(role.name):
        raise reference.refuse(f"calls itself {role.name!r}; a role's name matches {_NAME.pattern}")
    actions = getattr(role, "actions", None)
    texts = isinstance(actions, tuple) and all(isinstance(action, str) for action in actions)
    if not texts or len(set(role.actions)) != len(role.actions) or len(role.actions) < 2:
        raise reference.refuse(f"has the actions {actions!r}; they are a tuple of two names or more")
    if role.actions[HOLD] != "hold":
        raise reference.refuse(f"has the first action {role.actions[HOLD]!r}; it is 'hold'")
    if not isinstance(getattr(role, "trades", None), bool):
        raise reference.refuse("does not say by `trades`, True or False, whether it has an account")


def _try_out(reference: Reference, role: Role, me: int, traders: Tensor) -> None:
    """Call everything once on a close with an able and one with a ruined agent."""
    shape = (_COPIES, len(traders), _INSTRUMENTS)
    for ruined in (False, True):
        view = sample_view(*shape, traders=traders, ruined=ruined)
        role.observe(view, me)
        mask = role.mask(view, me)
        if ruined and bool(mask[:, HOLD + 1 :].any()):
            raise reference.refuse("allows a ruined agent another action than 'hold'")
        role.baseline(view, me)
        for action in range(len(role.actions)):
            decision = role.decide(view, me, torch.full((_COPIES,), action))
            if action == HOLD and not _is_nothing(decision):
                raise reference.refuse("asks for something when its action is 'hold'")
    role.reward(sample_outcome(*shape), me)


def _is_nothing(decision: Decision) -> bool:
    limits = (decision.target, decision.budget, decision.cap)
    quotes = decision.quotes
    return all(limit is None or bool(limit.isnan().all()) for limit in limits) and (
        quotes is None or not bool(quotes.bid.any() | quotes.ask.any())
    )
