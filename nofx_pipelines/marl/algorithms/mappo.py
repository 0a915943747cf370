"""MAPPO (Yu et al. 2022): proximal policy optimisation, decentralised actors, one critic that sees the state.

Every iteration rolls out one episode in all copies, estimates advantages by GAE and improves actors and
critic over a few passes of mini-batches. Agents have actors and critics of their own, stacked.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

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
from nofx_pipelines.marl.environment import Environment
from nofx_pipelines.marl.networks import Scale, StackedMLP, gumbel
from nofx_pipelines.marl.policy import Policy, PolicyConfig, require_finite


@dataclass(frozen=True)
class MappoConfig:
    """The algorithm's settings."""

    iterations: int = 100
    horizon: int = 100
    """Steps of a rollout, at most; an episode that ends before ends it."""
    epochs: int = 5
    minibatches: int = 2
    gamma: float = 0.99
    gae: float = 0.95
    clip: float = 0.2
    entropy: float = 0.01
    learning_rate: float = 1e-3
    critic_hidden: tuple[int, ...] = (64, 64)
    max_grad_norm: float = 1.0
    checkpoint_every: int = 10
    policy: PolicyConfig = field(default_factory=PolicyConfig)

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.horizon < 1 or self.minibatches < 1:
            raise ConfigError(
                f"iterations = {self.iterations}, horizon = {self.horizon}, "
                f"minibatches = {self.minibatches}: "
                "each must be at least 1",
                hint="leave out what you do not want to set",
            )


@dataclass(frozen=True)
class Rollout:
    """T steps of E copies; all but ``state`` by agent."""

    observation: Tensor  # [T, E, A, F]
    before: Tensor  # [T, E, A, F] the observation of the step before
    noise: Tensor | None  # [T, E, A, words, vocabulary] what drew the words
    mask: Tensor  # [T, E, A, K]
    state: Tensor  # [T + 1, E, S]
    action: Tensor  # [T, E, A] or [T, E, A, D]
    log_prob: Tensor  # [T, E, A]
    reward: Tensor  # [T, E, A]
    done: Tensor  # [T, E] float


class Learner:
    """Actors, critics and all that a checkpoint has to hold."""

    def __init__(self, environment: Environment, config: MappoConfig, seed: int, device: str = "cpu") -> None:
        drawn = torch.Generator().manual_seed(seed)
        agents = environment.n_agents
        self.config, self.environment = config, environment
        self.policy = Policy(
            agents,
            environment.observation_size,
            environment.n_actions,
            environment.discrete,
            config.policy,
            drawn,
        ).to(device)
        # of continuous actions, the same in every state
        self.log_std = nn.Parameter(torch.full((agents, environment.n_actions), -0.5, device=device))
        self.critic = StackedMLP(agents, environment.state_size, config.critic_hidden, 1, drawn).to(device)
        self.returns = Scale(agents, 1).to(device)
        parameters = [*self.policy.parameters(), *([] if environment.discrete else [self.log_std])]
        self.actor_optimiser = torch.optim.Adam(parameters, lr=config.learning_rate, eps=1e-5)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), lr=config.learning_rate, eps=1e-5)
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.iteration = self.frames = 0

    def value(self, state: Tensor) -> Tensor:
        """Expected returns ``[..., A]`` of states ``[..., S]``, in the rewards' own units."""
        flat = state.reshape(-1, state.shape[-1])
        scaled = self.critic(flat[:, None].expand(-1, self.policy.agents, -1))[..., 0]
        mean, std = self.return_scale()
        return (scaled * std + mean).reshape(*state.shape[:-1], self.policy.agents)

    def return_scale(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the returns so far, ``[A]``."""
        mean = self.returns.mean[:, 0].float()
        std = (self.returns.square[:, 0].float() - mean.square()).clamp_min(1e-8).sqrt()
        return mean, std

    def evaluate(self, logits: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy of ``action``, ``[B, A]`` each."""
        if self.policy.discrete:
            log = logits.log_softmax(dim=-1)
            log_prob = log.gather(-1, action[..., None])[..., 0]
            return log_prob, -(log.exp() * log).sum(dim=-1)
        # a normal density around tanh(logits): log sqrt(2 pi) = 0.9189385, entropy log sqrt(2 pi e) + log std
        z = (action - torch.tanh(logits)) / self.log_std.exp()
        log_prob = (-0.5 * z.square() - self.log_std - 0.9189385).sum(dim=-1)
        entropy = (self.log_std + 1.4189385).sum(dim=-1).expand_as(log_prob)
        return log_prob, entropy

    def tensors(self) -> dict[str, Tensor]:
        """Everything that training goes on from."""
        return {
            **module_state("policy", self.policy),
            **module_state("critic", self.critic),
            **module_state("returns", self.returns),
            **optimiser_state("actor_optimiser", self.actor_optimiser),
            **optimiser_state("critic_optimiser", self.critic_optimiser),
            "log_std": self.log_std,
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
        restore_module("policy", self.policy, tensors)
        restore_module("critic", self.critic, tensors)
        restore_module("returns", self.returns, tensors)
        restore_optimiser("actor_optimiser", self.actor_optimiser, tensors)
        restore_optimiser("critic_optimiser", self.critic_optimiser, tensors)
        with torch.no_grad():
            self.log_std.copy_(tensors["log_std"])
        self.generator.set_state(tensors["generator"])
        self.iteration, self.frames = progress["iteration"], progress["frames"]


def train(
    make: Make,
    config: MappoConfig,
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
            }
            save_checkpoint(checkpoint, learner.tensors(), progress)
    return learner.policy.eval()


def iterate(learner: Learner) -> list[AgentRow]:
    """One rollout and one improvement; a row for each agent."""
    rollout = roll_out(learner)
    losses, entropy, kl = improve(learner, rollout)
    learner.iteration += 1
    learner.frames += rollout.reward.shape[0] * rollout.reward.shape[1]
    total = rollout.reward.sum(dim=0).mean(dim=0)
    return [
        AgentRow(
            iteration=learner.iteration,
            agent=name,
            frames=learner.frames,
            reward=float(total[a]),
            losses={key: float(value[a]) for key, value in losses.items()},
            entropy=float(entropy[a]),
            kl=float(kl[a]),
        )
        for a, name in enumerate(learner.environment.agents)
    ]


@torch.no_grad()
def roll_out(learner: Learner) -> Rollout:
    """One episode in every copy, ``config.horizon`` steps at most."""
    environment, policy, generator = learner.environment, learner.policy, learner.generator
    step = environment.reset(generator)
    steps: dict[str, list[Tensor]] = {
        name: [] for name in ("observation", "noise", "mask", "action", "log_prob")
    }
    states, rewards, dones = [step.state], [], []
    for time in range(learner.config.horizon):
        require_finite(step.observation)
        noise = policy.noise(environment.n_envs, generator)
        before = steps["observation"][-1] if time else None
        logits = policy.logits(step.observation, step.action_mask, before, noise)
        action = _sample(learner, logits)
        for name, value in (
            ("observation", step.observation),
            ("mask", step.action_mask),
            ("action", action),
            ("log_prob", learner.evaluate(logits, action)[0]),
        ):
            steps[name].append(value)
        if noise is not None:
            steps["noise"].append(noise)
        step = environment.step(action)
        rewards.append(step.reward)
        dones.append(step.done.float())
        states.append(step.state)
        if bool(step.done.all()):
            break
    observation = torch.stack(steps["observation"])
    return Rollout(
        observation=observation,
        before=torch.cat([torch.zeros_like(observation[:1]), observation[:-1]]),
        noise=torch.stack(steps["noise"]) if steps["noise"] else None,
        mask=torch.stack(steps["mask"]),
        state=torch.stack(states),
        action=torch.stack(steps["action"]),
        log_prob=torch.stack(steps["log_prob"]),
        reward=torch.stack(rewards),
        done=torch.stack(dones),
    )


def _sample(learner: Learner, logits: Tensor) -> Tensor:
    if learner.policy.discrete:
        return (logits + gumbel(logits.shape, learner.generator)).argmax(dim=-1)
    noise = torch.randn(logits.shape, generator=learner.generator, device=logits.device)
    return (torch.tanh(logits) + noise * learner.log_std.exp()).clamp(-1.0, 1.0)


def advantages(reward: Tensor, value: Tensor, done: Tensor, gamma: float, gae: float) -> Tensor:
    """Generalised advantage estimates ``[T, E, A]`` (Schulman et al. 2016).

    ``reward`` ``[T, E, A]``, ``value`` ``[T + 1, E, A]``, ``done`` ``[T, E]``: nothing follows a done step.
    """
    advantage = torch.zeros_like(reward)
    ahead = torch.zeros_like(reward[0])
    for t in range(len(reward) - 1, -1, -1):
        mask = (1.0 - done[t])[:, None]
        td_error = reward[t] + gamma * mask * value[t + 1] - value[t]
        ahead = td_error + gamma * gae * mask * ahead
        advantage[t] = ahead
    return advantage


def improve(learner: Learner, rollout: Rollout) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Passes over mini-batches; losses, entropy and KL by agent, of the last pass."""
    config = learner.config
    with torch.no_grad():
        value = learner.value(rollout.state)
        advantage = advantages(rollout.reward, value, rollout.done, config.gamma, config.gae)
        returns = advantage + value[:-1]
        learner.policy.scale.update(rollout.observation)
        learner.returns.update(returns[..., None])
        flat = advantage.flatten(end_dim=1)
        flat = (flat - flat.mean(dim=0)) / (flat.std(dim=0) + 1e-6)
        rollout = _with_own_log_probs(learner, rollout)
    rows = flat.shape[0]
    logs: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for _ in range(config.epochs):
        order = torch.randperm(rows, generator=learner.generator, device=learner.generator.device)
        logs = [
            _step(learner, rollout, flat, returns.flatten(end_dim=1), part)
            for part in torch.tensor_split(order, config.minibatches)
            if len(part)
        ]
    policy, critic, entropy, kl = (torch.stack(log).mean(dim=0) for log in zip(*logs, strict=True))
    return {"policy": policy, "value": critic}, entropy, kl


def _with_own_log_probs(learner: Learner, rollout: Rollout) -> Rollout:
    """Log-probabilities under the scale of observations that the update sees: the first ratio is 1."""
    rows = torch.arange(rollout.reward.shape[0] * rollout.reward.shape[1], device=rollout.reward.device)
    logits = learner.policy.logits(*_inputs(rollout, rows))
    log_prob, _ = learner.evaluate(logits, rollout.action.flatten(end_dim=1))
    return replace(rollout, log_prob=log_prob.reshape(rollout.log_prob.shape))


def _inputs(rollout: Rollout, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor]:
    """What the policy read at ``rows`` of the flattened rollout."""
    copies = rollout.reward.shape[1]
    noise = None if rollout.noise is None else rollout.noise.flatten(end_dim=1)[rows]
    return (
        rollout.observation.flatten(end_dim=1)[rows],
        rollout.mask.flatten(end_dim=1)[rows],
        rollout.before.flatten(end_dim=1)[rows],
        noise,
        rows >= copies,
    )


def _step(
    learner: Learner, rollout: Rollout, advantage: Tensor, returns: Tensor, rows: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One mini-batch: the clipped surrogate for the actors, squared error for the critics."""
    config = learner.config
    logits = learner.policy.logits(*_inputs(rollout, rows))
    log_prob, entropy = learner.evaluate(logits, rollout.action.flatten(end_dim=1)[rows])
    before = rollout.log_prob.flatten(end_dim=1)[rows]
    ratio = (log_prob - before).exp()
    gain = surrogate(ratio, advantage[rows], config.clip)  # [B, A]
    actor_loss = -(gain + config.entropy * entropy).mean(dim=0)
    _descend(learner.actor_optimiser, actor_loss.sum(), config.max_grad_norm)

    mean, std = learner.return_scale()
    state = rollout.state[:-1].flatten(end_dim=1)[rows]
    target = (returns[rows] - mean) / std
    prediction = learner.critic(state[:, None].expand(-1, learner.policy.agents, -1))[..., 0]
    critic_loss = (prediction - target).square().mean(dim=0)
    _descend(learner.critic_optimiser, critic_loss.sum(), config.max_grad_norm)
    kl = (before - log_prob).mean(dim=0)
    return tuple(loss.detach() for loss in (-gain.mean(dim=0), critic_loss, entropy.mean(dim=0), kl))  # type: ignore[return-value]


def surrogate(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """The clipped objective: what is gained is cut off where the policy has moved far enough."""
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor, max_grad_norm: float) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], max_grad_norm)
    optimiser.step()


def _settings_text(config: MappoConfig) -> str:
    """The settings as canonical text; how long to train is not one of them."""
    return json.dumps({**asdict(config), "iterations": None}, sort_keys=True)


EPOCHS, MINIBATCHES = 2, 4
HIDDEN = (64, 64)
LEARNING_RATE = 1e-3
GAMMA = 0.95
"""A bar's reward reaches back about twenty bars."""


def settings(config: MarlConfig) -> MappoConfig:
    """What a team is trained with: one episode a rollout."""
    return MappoConfig(
        iterations=config.iterations,
        horizon=config.window,
        epochs=EPOCHS,
        minibatches=MINIBATCHES,
        gamma=GAMMA,
        learning_rate=LEARNING_RATE,
        policy=PolicyConfig(hidden=HIDDEN),
    )


@dataclass(frozen=True)
class Mappo:
    """The algorithm as ``nofx.toml`` names it."""

    name: str = "mappo"

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


ALGORITHM = Mappo()
