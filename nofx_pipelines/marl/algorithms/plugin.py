"""An algorithm of a plug-in: whatever it raises or returns wrongly is refused by its name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.errors import DataError, ModelError
from nofx_pipelines.marl.algorithms.protocol import AgentRow, Algorithm, Make, OnIteration
from nofx_pipelines.marl.environment import Environment, Step
from nofx_pipelines.marl.plugin_checks import require_protocol, require_tensor
from nofx_pipelines.marl.policy import Policy
from nofx_pipelines.marl.policy_files import policy_files, restore_policy
from nofx_pipelines.plugins import Reference, find

LOSSES = ("policy", "value")
"""Those that ``marl_history`` holds."""


def open_algorithm(name: str, folder: Path | None) -> Algorithm:
    """The algorithm by name; `nofx_pipelines.marl.algorithms.algorithm` says what is refused."""
    reference = find("algorithms", name, folder)
    algorithm: Algorithm = reference.load()
    if reference.origin == "built-in":
        return algorithm
    require_protocol(reference, algorithm, ["train"])
    return PluginAlgorithm(algorithm, reference)


class PluginAlgorithm:
    """An `Algorithm` that calls the plug-in's; PluginError for what it must not do."""

    def __init__(self, algorithm: Algorithm, reference: Reference) -> None:
        self._algorithm, self._reference = algorithm, reference
        self.name = algorithm.name

    def train(
        self,
        make: Make,
        config: MarlConfig,
        *,
        seed: int,
        checkpoint: Path | None = None,
        on_iteration: OnIteration | None = None,
        device: str = "cpu",
    ) -> Policy:
        """The plug-in's training; its rows and its policy are checked."""
        torch.set_num_threads(1)
        environments: list[Environment] = []
        reports, resumes = 0, checkpoint is not None and checkpoint.exists()

        def make_one() -> Environment:
            environments.append(make())
            return environments[-1]

        def report(rows: list[AgentRow]) -> None:
            nonlocal reports
            self._require_rows(rows, environments[-1].agents if environments else ())
            reports += 1
            if on_iteration is not None:
                on_iteration(rows)

        try:
            with self._reference.guard("training", passing=(DataError, ModelError)):
                policy = self._algorithm.train(
                    make_one, config, seed=seed, checkpoint=checkpoint, on_iteration=report, device=device
                )
        except ModelError as error:  # the environment's: an illegal action, a step after the last
            raise self._reference.refuse(f"was refused by its environment: {error.problem}") from error
        if not reports and not resumes:
            raise self._reference.refuse("told nothing of its iterations: it calls on_iteration after each")
        environment = environments[-1] if environments else make()
        self._require_policy(policy, environment, torch.Generator(device=device).manual_seed(seed))
        return policy

    def _require_rows(self, rows: object, agents: Sequence[str]) -> None:
        refuse = self._reference.refuse
        if not isinstance(rows, list) or not all(isinstance(row, AgentRow) for row in rows):
            raise refuse("tells of an iteration by something else than a list of AgentRow")
        if [row.agent for row in rows] != list(agents):
            raise refuse(
                f"tells of {', '.join(str(row.agent) for row in rows) or 'nobody'}, not of each of "
                f"{', '.join(agents)}"
            )
        for row in rows:
            if not isinstance(row.iteration, int) or not isinstance(row.frames, int):
                raise refuse(f"counts iterations or frames of {row.agent} by something else than int")
            if set(row.losses) - set(LOSSES):
                raise refuse(f"tells of the losses {sorted(row.losses)}; they are {' and '.join(LOSSES)}")
            numbers = {"reward": row.reward, "entropy": row.entropy, "kl": row.kl, **row.losses}
            for name, value in numbers.items():
                missing = value is None and name in ("entropy", "kl")
                if not missing and not (isinstance(value, float) and math.isfinite(value)):
                    raise refuse(f"tells of {name} = {value!r} of {row.agent}, not a finite float")

    def _require_policy(self, policy: object, environment: Environment, generator: torch.Generator) -> None:
        """A finite, silent `Policy` of the environment's sizes, whose actions are legal and stored whole."""
        refuse = self._reference.refuse
        if not isinstance(policy, Policy):
            raise refuse(f"returns {type(policy).__name__}, not a Policy")
        sizes = ("agents", "observation", "actions", "discrete")
        asked = (
            environment.n_agents,
            environment.observation_size,
            environment.n_actions,
            environment.discrete,
        )
        for name, size in zip(sizes, asked, strict=True):
            if getattr(policy, name) != size:
                raise refuse(f"returns a policy of {name} = {getattr(policy, name)}, not {size}")
        if policy.messenger is not None:
            raise refuse("returns a policy that speaks; teams are judged without messages")
        for name, value in policy.state_dict().items():
            if not bool(torch.isfinite(value).all()):
                raise refuse(f"returns a policy whose {name} is not finite")
        step = environment.reset(generator)
        action = self._acted(policy, step)
        with self._reference.guard("storing its policy"):
            restored = restore_policy(policy_files(policy, environment.agents)).to(step.observation.device)
        if not torch.equal(self._acted(restored, step), action):
            raise refuse("returns a policy that acts otherwise once it was stored: subclasses are not kept")

    def _acted(self, policy: Policy, step: Step) -> Tensor:
        """Its greedy actions, legal."""
        with self._reference.guard("acting", passing=(DataError,)):
            value = policy.act(step.observation, step.action_mask, None)
        shape = tuple(step.action_mask.shape[:2])
        action = require_tensor(self._reference, "actions", value, shape, [torch.int64])
        last = step.action_mask.shape[2] - 1
        legal = step.action_mask.gather(2, action.clamp(0, last)[..., None])[..., 0]
        if not bool((legal & (action >= 0) & (action <= last)).all()):
            raise self._reference.refuse("returns a policy that takes actions which are not legal")
        return action
