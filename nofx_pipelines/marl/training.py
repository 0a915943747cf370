"""Train a team of agents on earlier bars; the same bars, settings and seed give the same team."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.errors import IntegrityError
from nofx_pipelines.lake.schemas import MARL_HISTORY
from nofx_pipelines.marl.algorithms import AgentRow, maddpg, mappo
from nofx_pipelines.marl.features import WARM_UP
from nofx_pipelines.marl.panel import MarketPanel
from nofx_pipelines.marl.policy import Policy, PolicyConfig
from nofx_pipelines.marl.policy_files import policy_files, restore_policy
from nofx_pipelines.marl.trading import TradingEnvironment

SETTINGS, WEIGHTS = "model.json", "weights.safetensors"
EPOCHS, MINIBATCHES = 2, 4
HIDDEN = (64, 64)
LEAST_WINDOW = 10
"""Bars of the shortest episode that is trained on."""
LEARNING_RATE = 1e-3
GAMMA = 0.95
"""A bar's reward reaches back about twenty bars."""


@dataclass(frozen=True, eq=False)
class Team:
    """One trained team: its seed, its policy, and the rows of MARL_HISTORY of its training."""

    seed: int
    policy: Policy
    agents: tuple[str, ...]
    history: pl.DataFrame


def train_team(
    panel: MarketPanel,
    cut: int,
    config: MarlConfig,
    seed: int,
    *,
    run: str,
    checkpoint: Path | None = None,
    device: str = "cpu",
) -> Team:
    """Train on bars before ``cut``; ``run`` names the training in its history.

    A history too short for ``config.window`` gets the longest window that fits, down to ``LEAST_WINDOW``
    bars. With ``checkpoint`` a killed training goes on where it was last written. Raises NotEnoughData for
    a history that is shorter still.
    """
    config = replace(config, window=min(config.window, max(cut - WARM_UP - 1, LEAST_WINDOW)))
    floors: list[TradingEnvironment] = []
    rows: dict[tuple[int, str], dict[str, Any]] = _kept_rows(checkpoint)

    def make() -> TradingEnvironment:
        floor = TradingEnvironment(panel.to(device), n_envs=config.envs, length=config.window, span=(0, cut))
        floors.append(floor)
        return floor

    def on_iteration(told: list[AgentRow]) -> None:
        found = [_row(run, row, float(own)) for row, own in zip(told, floors[-1].own_returns(), strict=True)]
        rows.update({(row["iteration"], row["agent"]): row for row in found})
        _keep_rows(checkpoint, found)

    resumable: dict[str, Any] = {"checkpoint": checkpoint, "on_iteration": on_iteration, "device": device}
    if config.algorithm == "mappo":
        policy = mappo.train(make, mappo_settings(config), seed=seed, **resumable)
    else:
        policy = maddpg.train(make, maddpg_settings(config), seed=seed, **resumable)
    history = pl.DataFrame(list(rows.values()), schema=MARL_HISTORY.columns)
    agents = floors[-1].agents
    place = pl.col("agent").replace_strict(list(agents), list(range(len(agents))), return_dtype=pl.Int64)
    return Team(seed, policy.cpu(), agents, history.sort("iteration", place))


def mappo_settings(config: MarlConfig) -> mappo.MappoConfig:
    """What MAPPO runs with: one episode a rollout."""
    return mappo.MappoConfig(
        iterations=config.iterations,
        horizon=config.window,
        epochs=EPOCHS,
        minibatches=MINIBATCHES,
        gamma=GAMMA,
        learning_rate=LEARNING_RATE,
        policy=PolicyConfig(hidden=HIDDEN),
    )


def maddpg_settings(config: MarlConfig) -> maddpg.MaddpgConfig:
    """What MADDPG runs with: one episode a rollout, random actions during the first."""
    return maddpg.MaddpgConfig(
        iterations=config.iterations,
        horizon=config.window,
        warm_up=config.window * config.envs,
        gamma=GAMMA,
        policy=PolicyConfig(hidden=HIDDEN, last_gain=1.0),
    )


def pack(team: Team) -> tuple[str, bytes]:
    """A team's policy as settings (JSON) and weights (safetensors)."""
    files = policy_files(team.policy, team.agents)
    return files[SETTINGS].decode(), files[WEIGHTS]


def unpack(settings: str, weights: bytes) -> Policy:
    """The policy that `pack` packed; raises IntegrityError for settings and weights that do not fit."""
    from safetensors import SafetensorError

    try:
        return restore_policy({SETTINGS: settings.encode(), WEIGHTS: weights})
    except (RuntimeError, SafetensorError) as error:
        raise IntegrityError(
            f"the weights of a team do not fit its settings: {str(error).splitlines()[0]}",
            kept="nothing was loaded",
            hint="nofx run --force trains again",
        ) from error


def _row(run: str, row: AgentRow, own_return: float) -> dict[str, Any]:
    """A row of MARL_HISTORY; the reward is the own return and what the role adds to it."""
    return {
        "run": run,
        "iteration": row.iteration,
        "agent": row.agent,
        "frames": row.frames,
        "reward": row.reward,
        "reward_components": {"own_return": own_return, "role": row.reward - own_return},
        "losses": dict(row.losses),
        "entropy": row.entropy,
        "kl": row.kl,
    }


def _rows_file(checkpoint: Path) -> Path:
    return checkpoint.with_suffix(".rows.jsonl")


def _kept_rows(checkpoint: Path | None) -> dict[tuple[int, str], dict[str, Any]]:
    """What a killed training had told; a line that it did not finish is left out."""
    if checkpoint is None or not checkpoint.exists() or not _rows_file(checkpoint).exists():
        return {}
    rows: list[Mapping[str, Any]] = []
    for line in _rows_file(checkpoint).read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return {(row["iteration"], row["agent"]): dict(row) for row in rows}


def _keep_rows(checkpoint: Path | None, rows: list[dict[str, Any]]) -> None:
    if checkpoint is None:
        return
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with _rows_file(checkpoint).open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)


def forget(checkpoint: Path) -> None:
    """Remove a checkpoint and its rows: the training is finished and stored."""
    for path in (checkpoint, _rows_file(checkpoint)):
        path.unlink(missing_ok=True)
