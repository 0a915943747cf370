"""MADDPG (Lowe et al. 2017): deterministic actors, critics that see what all observe and do.

Discrete actions pass gradients by the straight-through Gumbel softmax, continuous ones by tanh. Targets come
from slowly following copies of actors and critics. Agents have actors and critics of their own, stacked, so
one product updates all.
"""

from __future__ import annotations

import copy
import json
import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.marl.algorithms.protocol import AgentRow, Make, OnIteration
from nofx_pipelines.marl.checkpoint import (
    load_checkpoint,
    module_state,
    optimiser_state,
    restore_module,
    restore_optimiser,
    save_checkpoint,
)
from nofx_pipelines.marl.environment import Environment, Step
from nofx_pipelines.marl.networks import StackedMLP, gumbel
from nofx_pipelines.marl.policy import Policy, PolicyConfig, require_finite


@dataclass(frozen=True)
class MaddpgConfig:
    """The algorithm's settings."""

    iterations: int = 100
    horizon: int = 100
    """Steps of a rollout, at most."""
    updates: int = 10
    """Mini-batches after each rollout."""
    batch: int = 512
    buffer: int = 100_000
    """Transitions kept, of all copies together."""
    warm_up: int = 2_000
    """Transitions of random actions before the first update."""
    gamma: float = 0.95
    tau: float = 0.01
    """How far the targets follow at each update."""
    learning_rate: float = 3e-3
    noise: float = 0.2
    """Standard deviation of exploration around a continuous action."""
    logit_penalty: float = 1e-3
    critic_hidden: tuple[int, ...] = (64, 64)
    max_grad_norm: float = 0.5
    checkpoint_every: int = 10
    policy: PolicyConfig = field(default_factory=lambda: PolicyConfig(last_gain=1.0))

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.horizon < 1 or self.batch < 2 or self.buffer < self.batch:
            raise ConfigError(
                f"iterations = {self.iterations}, horizon = {self.horizon}, batch = {self.batch}, "
                f"buffer = {self.buffer}: a buffer holds a batch, and each is at least 1",
                hint="leave out what you do not want to set",
            )
        if self.policy.message.words:
            raise ConfigError(
                "MADDPG learns no messages: its buffer mixes steps", hint="use MAPPO for agents that speak"
            )


@dataclass
class Buffer:
    """The last transitions, as tensors that are overwritten in turn."""

    observation: Tensor  # [N, A, F]
    mask: Tensor  # [N, A, K]
    action: Tensor  # [N, A, K] one-hot, or [N, A, D]
    reward: Tensor  # [N, A]
    following: Tensor  # [N, A, F]
    following_mask: Tensor  # [N, A, K]
    done: Tensor  # [N]
    filled: int = 0
    at: int = 0

    @classmethod
    def empty(cls, size: int, environment: Environment, device: str) -> Buffer:
        """Room for ``size`` transitions."""
        a, f, k = environment.n_agents, environment.observation_size, environment.n_actions

        def room(*shape: int) -> Tensor:
            return torch.zeros(size, *shape, device=device)

        def allowed() -> Tensor:
            return torch.ones(size, a, k, dtype=torch.bool, device=device)

        return cls(room(a, f), allowed(), room(a, k), room(a), room(a, f), allowed(), room())

    def add(self, before: Step, action: Tensor, after: Step) -> None:
        """Keep one step of every copy."""
        count, size = len(action), len(self.reward)
        rows = (self.at + torch.arange(count, device=action.device)) % size
        for name, value in (
            ("observation", before.observation),
            ("mask", before.action_mask),
            ("action", action),
            ("reward", after.reward),
            ("following", after.observation),
            ("following_mask", after.action_mask),
            ("done", after.done.float()),
        ):
            getattr(self, name)[rows] = value
        self.at, self.filled = (self.at + count) % size, min(self.filled + count, size)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        names = ("observation", "mask", "action", "reward", "following", "following_mask", "done")
        return {f"buffer.{name}": getattr(self, name)[: self.filled] for name in names}

    def restore(self, tensors: dict[str, Tensor], at: int) -> None:
        """Put back what ``tensors`` gave."""
        for full, value in tensors.items():
            if full.startswith("buffer."):
                getattr(self, full.removeprefix("buffer."))[: len(value)] = value
                self.filled = len(value)
        self.at = at


class Learner:
    """Actors, critics, their targets and the buffer."""

    def __init__(
        self, environment: Environment, config: MaddpgConfig, seed: int, device: str = "cpu"
    ) -> None:
        drawn = torch.Generator().manual_seed(seed)
        agents, f, k = environment.n_agents, environment.observation_size, environment.n_actions
        self.config, self.environment = config, environment
        self.policy = Policy(agents, f, k, environment.discrete, config.policy, drawn).to(device)
        self.critic = StackedMLP(agents, agents * (f + k), config.critic_hidden, 1, drawn).to(device)
        self.target_policy = copy.deepcopy(self.policy)
        self.target_critic = copy.deepcopy(self.critic)
        self.actor_optimiser = torch.optim.Adam(self.policy.parameters(), lr=config.learning_rate)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), lr=config.learning_rate)
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.buffer = Buffer.empty(config.buffer, environment, device)
        self.iteration = self.frames = 0

    def choose(self, policy: Policy, observation: Tensor, mask: Tensor, *, explore: bool) -> Tensor:
        """Actions as numbers ``[B, A, K]``: one-hot with a straight-through gradient, or tanh."""
        logits = policy.logits(observation, mask)
        if not policy.discrete:
            action = torch.tanh(logits)
            if explore:
                drawn = torch.randn(action.shape, generator=self.generator, device=action.device)
                action = (action + self.config.noise * drawn).clamp(-1.0, 1.0)
            return action
        if explore:
            logits = logits + gumbel(logits.shape, self.generator)
        soft = logits.softmax(dim=-1)
        hard = F.one_hot(soft.argmax(dim=-1), soft.shape[-1]).float()
        return hard + soft - soft.detach()

    def judge(self, critic: StackedMLP, observation: Tensor, action: Tensor) -> Tensor:
        """Q of every agent ``[B, A]``; ``action`` is ``[B, A, K]``, or ``[B, A, A, K]`` by critic."""
        agents = self.policy.agents
        seen = self.policy.scale(observation).flatten(start_dim=1)[:, None].expand(-1, agents, -1)
        done = action if action.dim() == 4 else action[:, None].expand(-1, agents, -1, -1)
        return critic(torch.cat([seen, done.flatten(start_dim=2)], dim=-1))[..., 0]

    def settle_scale(self) -> None:
        """Fix the scale of observations on the warm-up's, once: a buffer's transitions keep their meaning."""
        if float(self.policy.scale.count) == 0:
            seen = self.buffer.observation[: self.buffer.filled]
            for policy in (self.policy, self.target_policy):
                policy.scale.update(seen)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that training goes on from."""
        return {
            **module_state("policy", self.policy),
            **module_state("critic", self.critic),
            **module_state("target_policy", self.target_policy),
            **module_state("target_critic", self.target_critic),
            **optimiser_state("actor_optimiser", self.actor_optimiser),
            **optimiser_state("critic_optimiser", self.critic_optimiser),
            **self.buffer.tensors(),
            "generator": self.generator.get_state(),
        }

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint; raises ConfigError for one of other settings."""
        tensors, progress = load_checkpoint(path)
        if progress["config"] != _settings_text(self.config):
            raise ConfigError(
                f"{path} was written with other settings",
                kept="it was left as it is",
                hint=f"rm {shlex.quote(str(path))}",
            )
        for name in ("policy", "critic", "target_policy", "target_critic"):
            restore_module(name, getattr(self, name), tensors)
        restore_optimiser("actor_optimiser", self.actor_optimiser, tensors)
        restore_optimiser("critic_optimiser", self.critic_optimiser, tensors)
        self.buffer.restore(tensors, progress["at"])
        self.generator.set_state(tensors["generator"])
        self.iteration, self.frames = progress["iteration"], progress["frames"]


def train(
    make: Make,
    config: MaddpgConfig,
    *,
    seed: int,
    checkpoint: Path | None = None,
    on_iteration: OnIteration | None = None,
    device: str = "cpu",
) -> Policy:
    """Train a policy; the same arguments give the same bits, killed and resumed or not."""
    torch.set_num_threads(1)
    learner = Learner(make(), config, seed, device)
    if checkpoint is not None and checkpoint.exists():
        learner.restore(checkpoint)
    while learner.iteration < config.iterations:
        rows = iterate(learner)
        if on_iteration is not None:
            on_iteration(rows)
        due = learner.iteration % config.checkpoint_every == 0 or learner.iteration == config.iterations
        if checkpoint is not None and due:
            progress = {
                "config": _settings_text(config),
                "iteration": learner.iteration,
                "frames": learner.frames,
                "at": learner.buffer.at,
            }
            save_checkpoint(checkpoint, learner.tensors(), progress)
    return learner.policy.eval()


def iterate(learner: Learner) -> list[AgentRow]:
    """One rollout into the buffer and some updates; a row for each agent."""
    reward = roll_out(learner)
    losses = {name: torch.zeros(learner.policy.agents) for name in ("policy", "value")}
    if learner.buffer.filled >= learner.config.warm_up:
        learner.settle_scale()
        updates = [update(learner) for _ in range(learner.config.updates)]
        losses = {name: torch.stack([each[name] for each in updates]).mean(dim=0) for name in losses}
    learner.iteration += 1
    return [
        AgentRow(
            iteration=learner.iteration,
            agent=name,
            frames=learner.frames,
            reward=float(reward[a]),
            losses={key: float(value[a]) for key, value in losses.items()},
            entropy=None,
            kl=None,
        )
        for a, name in enumerate(learner.environment.agents)
    ]


@torch.no_grad()
def roll_out(learner: Learner) -> Tensor:
    """One episode in every copy; the mean reward of each agent."""
    environment = learner.environment
    step, total = environment.reset(learner.generator), torch.zeros(environment.n_envs, environment.n_agents)
    total = total.to(step.observation.device)
    for _ in range(learner.config.horizon):
        require_finite(step.observation)
        action = _explored(learner, step)
        following = environment.step(action.argmax(dim=-1) if learner.policy.discrete else action)
        learner.buffer.add(step, action, following)
        learner.frames += environment.n_envs
        total += following.reward
        step = following
        if bool(step.done.all()):
            break
    return total.mean(dim=0)


def _explored(learner: Learner, step: Step) -> Tensor:
    """Random at first, then the policy's own with noise."""
    if learner.buffer.filled >= learner.config.warm_up:
        return learner.choose(learner.policy, step.observation, step.action_mask, explore=True)
    shape = step.action_mask.shape
    if not learner.policy.discrete:
        return 2 * torch.rand(shape, generator=learner.generator, device=step.observation.device) - 1
    drawn = torch.where(step.action_mask, gumbel(shape, learner.generator), torch.tensor(-1e9))
    return F.one_hot(drawn.argmax(dim=-1), shape[-1]).float()


def targets(learner: Learner, rows: Tensor) -> Tensor:
    """What the critics should say, ``[B, A]``: from the target actors and the target critics alone."""
    buffer, config = learner.buffer, learner.config
    with torch.no_grad():
        following, mask = buffer.following[rows], buffer.following_mask[rows]
        action = learner.choose(learner.target_policy, following, mask, explore=False)
        ahead = learner.judge(learner.target_critic, following, action)
        return buffer.reward[rows] + config.gamma * (1 - buffer.done[rows])[:, None] * ahead


def update(learner: Learner) -> dict[str, Tensor]:
    """One mini-batch for critics and actors, then the targets follow; losses by agent."""
    buffer, config = learner.buffer, learner.config
    rows = torch.randint(
        buffer.filled, (config.batch,), generator=learner.generator, device=buffer.reward.device
    )
    observation, action = buffer.observation[rows], buffer.action[rows]
    critic_loss = (
        (learner.judge(learner.critic, observation, action) - targets(learner, rows)).square().mean(dim=0)
    )
    _descend(learner.critic_optimiser, critic_loss.sum(), config.max_grad_norm)

    logits = learner.policy.logits(observation, buffer.mask[rows])
    own = learner.choose(learner.policy, observation, buffer.mask[rows], explore=learner.policy.discrete)
    gain = learner.judge(learner.critic, observation, replaced(action, own))
    allowed = (
        torch.where(buffer.mask[rows], logits, torch.zeros_like(logits))
        if learner.policy.discrete
        else logits
    )
    actor_loss = (-gain + config.logit_penalty * allowed.square().mean(dim=-1)).mean(dim=0)
    _descend(learner.actor_optimiser, actor_loss.sum(), config.max_grad_norm)

    follow(learner.target_policy, learner.policy, config.tau)
    follow(learner.target_critic, learner.critic, config.tau)
    return {"policy": actor_loss.detach().cpu(), "value": critic_loss.detach().cpu()}


def replaced(action: Tensor, own: Tensor) -> Tensor:
    """As critic i sees it, agent i does ``own`` and the others what they did: ``[B, A, A, K]``."""
    agents = action.shape[1]
    diagonal = torch.eye(agents, device=action.device)[None, :, :, None]
    return action[:, None] * (1 - diagonal) + own[:, None] * diagonal


@torch.no_grad()
def follow(target: nn.Module, online: nn.Module, tau: float) -> None:
    """Move a target's parameters a little towards the online ones."""
    for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
        slow.lerp_(fast, tau)


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor, max_grad_norm: float) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], max_grad_norm)
    optimiser.step()


def _settings_text(config: MaddpgConfig) -> str:
    """The settings as canonical text; how long to train is not one of them."""
    return json.dumps({**asdict(config), "iterations": None}, sort_keys=True)


HIDDEN = (64, 64)
GAMMA = 0.95
"""A bar's reward reaches back about twenty bars."""


def settings(config: MarlConfig) -> MaddpgConfig:
    """What a team is trained with: one episode a rollout, random actions during the first."""
    return MaddpgConfig(
        iterations=config.iterations,
        horizon=config.window,
        warm_up=config.window * config.envs,
        gamma=GAMMA,
        policy=PolicyConfig(hidden=HIDDEN, last_gain=1.0),
    )


@dataclass(frozen=True)
class Maddpg:
    """The algorithm as ``nofx.toml`` names it."""

    name: str = "maddpg"

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
        """`train` with what follows from the team's configuration."""
        return train(
            make,
            settings(config),
            seed=seed,
            checkpoint=checkpoint,
            on_iteration=on_iteration,
            device=device,
        )


ALGORITHM = Maddpg()
