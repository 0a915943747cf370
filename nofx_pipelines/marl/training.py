"""Train a team of agents on earlier bars; the same bars, settings and seed give the same team."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.errors import IntegrityError
from nofx_pipelines.lake.schemas import MARL_HISTORY
from nofx_pipelines.marl.algorithms import algorithm
from nofx_pipelines.marl.algorithms.protocol import AgentRow
from nofx_pipelines.marl.features import WARM_UP
from nofx_pipelines.marl.panel import MarketPanel
from nofx_pipelines.marl.policy import Policy
from nofx_pipelines.marl.policy_files import policy_files, restore_policy
from nofx_pipelines.marl.scenario import open_scenario
from nofx_pipelines.marl.tasks.protocol import Floor

SETTINGS, WEIGHTS = "model.json", "weights.safetensors"
LEAST_WINDOW = 10
"""Bars of the shortest episode that is trained on."""


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
    folder: Path | None = None,
) -> Team:
    """Train on bars before ``cut``.

    Parameters
    ----------
    panel:
        The bars.
    cut:
        Place of the first bar that is not trained on.
    config:
        The algorithm, the scenario and the budget. A history too short for ``config.window`` gets the
        longest window that fits, down to ``LEAST_WINDOW`` bars.
    seed:
        Of all that is random.
    run:
        Names the training in its history.
    checkpoint:
        Where a killed training goes on from.
    device:
        Where the floor is stepped and the policy is trained.
    folder:
        The home's plug-ins.

    Raises
    ------
    NotEnoughData
        For a history that is shorter than the least window.
    ConfigError, PluginError
        For members that are unknown, make no team, or break their protocol.
    """
    config = replace(config, window=min(config.window, max(cut - WARM_UP - 1, LEAST_WINDOW)))
    scenario, learner = open_scenario(config, folder), algorithm(config.algorithm, folder)
    floors: list[Floor] = []
    rows: dict[tuple[int, str], dict[str, Any]] = _read_rows(checkpoint)

    def make() -> Floor:
        floor = scenario.training_floor(
            panel.to(device), n_envs=config.envs, length=config.window, span=(0, cut)
        )
        floors.append(floor)
        return floor

    def on_iteration(agent_rows: list[AgentRow]) -> None:
        own_returns = floors[-1].own_returns()
        new = [_row(run, row, float(own)) for row, own in zip(agent_rows, own_returns, strict=True)]
        rows.update({(row["iteration"], row["agent"]): row for row in new})
        _append_rows(checkpoint, new)

    policy = learner.train(
        make, config, seed=seed, checkpoint=checkpoint, on_iteration=on_iteration, device=device
    )
    history = pl.DataFrame(list(rows.values()), schema=MARL_HISTORY.columns)
    agents = tuple(role.name for role in scenario.roles)
    place = pl.col("agent").replace_strict(list(agents), list(range(len(agents))), return_dtype=pl.Int64)
    return Team(seed, policy.cpu(), agents, history.sort("iteration", place))


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
    """A row of MARL_HISTORY; the reward is the own return and what role and other rewards add to it."""
    return {
        "run": run,
        "iteration": row.iteration,
        "agent": row.agent,
        "frames": row.frames,
        "reward": row.reward,
        "reward_components": {"own_return": own_return, "role": row.reward - own_return},
        "losses": {"policy": row.losses.get("policy"), "value": row.losses.get("value")},
        "entropy": row.entropy,
        "kl": row.kl,
    }


def _rows_file(checkpoint: Path) -> Path:
    return checkpoint.with_suffix(".rows.jsonl")


def _read_rows(checkpoint: Path | None) -> dict[tuple[int, str], dict[str, Any]]:
    """The rows of a killed training; a line that it did not finish is left out."""
    if checkpoint is None or not checkpoint.exists() or not _rows_file(checkpoint).exists():
        return {}
    rows: list[dict[str, Any]] = []
    for line in _rows_file(checkpoint).read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return {(row["iteration"], row["agent"]): row for row in rows}


def _append_rows(checkpoint: Path | None, rows: list[dict[str, Any]]) -> None:
    if checkpoint is None:
        return
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with _rows_file(checkpoint).open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)


def forget(checkpoint: Path) -> None:
    """Remove a checkpoint and its rows: the training is finished and stored."""
    for path in (checkpoint, _rows_file(checkpoint)):
        path.unlink(missing_ok=True)
