"""A task of a plug-in and its floor: whatever they raise or return wrongly is refused by their name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from nofx_pipelines.errors import ModelError, NotEnoughData
from nofx_pipelines.marl.environment import Step
from nofx_pipelines.marl.panel import MarketPanel
from nofx_pipelines.marl.plugin_checks import require_protocol, require_tensor
from nofx_pipelines.marl.rewards.protocol import Reward
from nofx_pipelines.marl.roles.role import Role
from nofx_pipelines.marl.tasks.protocol import Floor, Task
from nofx_pipelines.marl.trading import Draw
from nofx_pipelines.plugins import Reference, find

_METHODS = (
    "reset",
    "step",
    "traded",
    "costs",
    "own_returns",
    "baseline",
    "bars",
    "holdings_without_trade",
)
_SIZES = ("n_envs", "n_agents", "observation_size", "n_actions", "state_size")


def open_task(name: str, folder: Path | None) -> Task:
    """The task by name; `nofx_pipelines.marl.tasks.task` says what is refused."""
    reference = find("tasks", name, folder)
    task: Task = reference.load()
    if reference.origin == "built-in":
        return task
    require_protocol(reference, task, ["environment"])
    instruments = getattr(task, "instruments", None)
    if not isinstance(instruments, int) or instruments < 1:
        raise reference.refuse(f"has instruments = {instruments!r}; it is 1 or more")
    return PluginTask(task, reference)


class PluginTask:
    """A `Task` that calls the plug-in's; PluginError for what it must not do."""

    def __init__(self, task: Task, reference: Reference) -> None:
        self._task, self._reference = task, reference
        self.name, self.instruments = task.name, task.instruments

    def environment(
        self,
        panel: MarketPanel,
        *,
        n_envs: int,
        length: int,
        span: tuple[int, int],
        roles: Sequence[Role],
        rewards: Sequence[Reward],
        draw: Draw | None = None,
    ) -> Floor:
        """The plug-in's floor behind the same checks; `Task.environment` says what is asked."""
        with self._reference.guard("making its floor", passing=(NotEnoughData,)):
            floor = self._task.environment(
                panel,
                n_envs=n_envs,
                length=length,
                span=span,
                roles=roles,
                rewards=rewards,
                draw=draw,
            )
        _require_floor(self._reference, floor, roles, n_envs)
        return PluginFloor(floor, self._reference, tuple(roles), length, draw)


def _require_floor(reference: Reference, floor: Floor, roles: Sequence[Role], n_envs: int) -> None:
    """Refuse what lacks a part of the protocol, or has other agents or copies than were asked for."""
    for method in _METHODS:
        if not callable(getattr(floor, method, None)):
            raise reference.refuse(f"makes a floor without a method {method!r}: {type(floor).__name__}")
    with reference.guard("saying the sizes of its floor"):
        sizes = {name: getattr(floor, name) for name in _SIZES}
        agents, discrete = tuple(floor.agents), floor.discrete
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise reference.refuse(f"makes a floor with {name} = {size!r}")
    names = tuple(role.name for role in roles)
    if agents != names or sizes["n_agents"] != len(names):
        raise reference.refuse(f"makes a floor for {', '.join(agents)}, not for {', '.join(names)}")
    if sizes["n_envs"] != n_envs:
        raise reference.refuse(f"makes a floor of {sizes['n_envs']} copies, not {n_envs}")
    if discrete is not True:
        raise reference.refuse("makes a floor of continuous actions; roles choose among named ones")


@dataclass(eq=False)
class PluginFloor:
    """A `Floor` that calls the plug-in's; PluginError for what it must not do."""

    floor: Floor
    reference: Reference
    roles: tuple[Role, ...]
    length: int
    draw: Draw | None
    age: int = field(default=0, init=False)
    """Steps since the reset."""

    @property
    def n_envs(self) -> int:
        """E."""
        return self.floor.n_envs

    @property
    def n_agents(self) -> int:
        """A."""
        return self.floor.n_agents

    @property
    def observation_size(self) -> int:
        """F of the widest role."""
        return self.floor.observation_size

    @property
    def n_actions(self) -> int:
        """K of the widest role."""
        return self.floor.n_actions

    @property
    def state_size(self) -> int:
        """S."""
        return self.floor.state_size

    @property
    def agents(self) -> tuple[str, ...]:
        """The roles' names."""
        return self.floor.agents

    @property
    def discrete(self) -> bool:
        """True."""
        return True

    def reset(self, generator: torch.Generator) -> Step:
        """Start all copies; where windows were drawn, at their bars."""
        with self.reference.guard("resetting its floor"):
            step = self.floor.reset(generator)
        self.age = 0
        if self.draw is not None and not torch.equal(self.bars().cpu(), self.draw.start.cpu()):
            raise self.reference.refuse("starts at other bars than those drawn")
        return self._require_step(step)

    def step(self, action: Tensor, message: Tensor | None = None) -> Step:
        """Apply one action ``[E, A]`` of every agent."""
        # an illegal action is refused by the name of who took it
        with self.reference.guard("stepping its floor", passing=(ModelError,)):
            step = self.floor.step(action, message)
        self.age += 1
        return self._require_step(step)

    @property
    def capital(self) -> Tensor:
        """What each account begins with, ``[A]``."""
        with self.reference.guard("saying the capital"):
            value = self.floor.capital
        return require_tensor(self.reference, "the capital", value, (self.n_agents,))

    @property
    def equity(self) -> Tensor:
        """Value of each account, ``[E, A]``."""
        with self.reference.guard("valuing accounts"):
            value = self.floor.equity
        return self._accounts("the equity", value)

    def traded(self) -> Tensor:
        """Value bought and sold in the last bar, ``[E, A]``."""
        with self.reference.guard("saying what was traded"):
            value = self.floor.traded()
        return self._accounts("the value traded", value)

    def costs(self) -> Tensor:
        """Fees and impact since the reset, ``[E, A]``."""
        with self.reference.guard("saying the costs"):
            value = self.floor.costs()
        return self._accounts("the costs", value)

    def own_returns(self) -> Tensor:
        """Each account's log return in percent since the reset, ``[A]``."""
        with self.reference.guard("saying the returns"):
            value = self.floor.own_returns()
        return require_tensor(self.reference, "the own returns", value, (self.n_agents,))

    def baseline(self) -> Tensor:
        """The actions of the roles' rules now, ``[E, A]``."""
        with self.reference.guard("asking for the rules"):
            value = self.floor.baseline()
        shape = (self.n_envs, self.n_agents)
        return require_tensor(self.reference, "the rules' actions", value, shape, [torch.int64])

    def bars(self) -> Tensor:
        """Each copy's bar, ``[E]``."""
        with self.reference.guard("saying the bars"):
            value = self.floor.bars()
        return require_tensor(self.reference, "the bars", value, (self.n_envs,), [torch.int64])

    def holdings_without_trade(self) -> tuple[str, ...]:
        """Instruments held that do not trade now."""
        with self.reference.guard("saying what is held without trade"):
            return tuple(self.floor.holdings_without_trade())

    def _accounts(self, what: str, value: Tensor) -> Tensor:
        checked = require_tensor(self.reference, what, value, (self.n_envs, self.n_agents))
        return checked.clone()  # of this bar, whatever the floor does to its own tensor

    def _require_step(self, step: Step) -> Step:
        e, a = self.n_envs, self.n_agents
        single, flag = [torch.float32], [torch.bool]
        if not isinstance(step, Step):
            raise self.reference.refuse(f"steps to {type(step).__name__}, not a Step")
        for what, value, shape, dtypes in (
            ("the observation", step.observation, (e, a, self.observation_size), single),
            ("the mask", step.action_mask, (e, a, self.n_actions), flag),
            ("the state", step.state, (e, self.state_size), single),
            ("the reward", step.reward, (e, a), single),
            ("done", step.done, (e,), flag),
        ):
            require_tensor(self.reference, what, value, shape, dtypes)
        if not bool((step.done == (self.age >= self.length)).all()):
            raise self.reference.refuse(
                f"says done = {sorted(set(step.done.tolist()))} after {self.age} steps of {self.length}"
            )
        return step
