"""Bring a universe's teams up to its bars: training, history and weights to the lake, curves to MLflow."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import polars as pl
import torch

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.lake.schemas import MARL_TEAMS
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.marl.figures import learning_figure
from nofx_pipelines.marl.members import members
from nofx_pipelines.marl.source import load_panel, versions_read
from nofx_pipelines.marl.training import Team, forget, pack, train_team
from nofx_pipelines.plugins import plugin_digests
from nofx_pipelines.registry.tracking import Tracker


@dataclass(frozen=True, eq=False)
class TrainingRefresh:
    """What was trained; ``reward`` is the last iteration's of each role, the mean over seeds."""

    rows: int
    frames: int
    reward: dict[str, float]
    figures: dict[str, bytes]
    seconds: float


def refresh_training(
    lake: Lake,
    tracker: Tracker,
    universe: UniverseConfig,
    *,
    inputs: str,
    run_id: str,
    code_version: str,
    device: str = "cpu",
) -> TrainingRefresh:
    """Train one team a seed on the bars before the hold-out and write ``marl_history`` and ``marl_teams``.

    A killed run goes on from its checkpoints under ``agents/<universe>``. Raises NotEnoughData, and what
    `train_team` raises for the members that the universe names.
    """
    began = time.perf_counter()
    torch.set_num_threads(1)
    versions = versions_read(lake, universe)
    panel, cut = load_panel(lake, universe, test_fraction=universe.folds.test_fraction, versions=versions)
    folder = lake.root.parent / "agents" / universe.name
    which = _identity(universe, inputs, code_version)
    teams, files = [], []
    for seed in universe.marl.seeds:
        path = folder / f"{which}-{seed}.ckpt"
        run = f"{universe.name}-{universe.marl.algorithm}-{seed}"
        teams.append(
            train_team(
                panel,
                cut,
                universe.marl,
                seed,
                run=run,
                checkpoint=path,
                device=device,
                folder=universe.plugins,
            )
        )
        files.append(path)
    history = pl.concat([team.history for team in teams])
    figures = {"learning": learning_figure(history)}
    _track(tracker, universe, teams, figures, run_id)
    written = {"marl_teams": _teams_frame(universe, teams, versions), "marl_history": history}
    for name, frame in written.items():
        lake.table(universe.name, name).overwrite(
            frame, lineage=versions, code_version=code_version, inputs=inputs, run_id=run_id
        )
    for path in files:
        forget(path)
    return _summed_up(history, figures, time.perf_counter() - began)


def known_training(lake: Lake, universe: UniverseConfig) -> TrainingRefresh:
    """What was trained last, read from its table."""
    history = lake.table(universe.name, "marl_history").scan().collect()
    return _summed_up(history, {"learning": learning_figure(history)}, 0.0)


def _identity(universe: UniverseConfig, inputs: str, code_version: str) -> str:
    """Twelve hex digits of all that decides a training: a checkpoint of another is not gone on from."""
    sources = [member.digest() for member in members(universe.marl, universe.plugins)]
    text = json.dumps([asdict(universe.marl), universe.folds.test_fraction, inputs, code_version, sources])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _track(
    tracker: Tracker,
    universe: UniverseConfig,
    teams: Sequence[Team],
    figures: dict[str, bytes],
    run_id: str,
) -> None:
    """One run a training, with its curves by iteration."""
    tags = {"nofx.dagster_run_id": run_id, "nofx.stage": "marl_training", "nofx.universe": universe.name}
    for team in teams:
        name = f"{universe.name}-{universe.marl.algorithm}-{team.seed}"
        with tracker.run(name, experiment=universe.name, tags=tags) as run:
            settings = ("algorithm", "task", "envs", "iterations", "window")
            params = {key: getattr(universe.marl, key) for key in settings} | {"seed": team.seed}
            params |= {key: ", ".join(getattr(universe.marl, key)) for key in ("roles", "rewards")}
            run.log_params(params)
            rows = team.history.select("iteration", "agent", "reward", "entropy").iter_rows()
            run.log_series(
                (f"{agent}_{metric}", iteration, value)
                for iteration, agent, *values in rows
                for metric, value in zip(("reward", "entropy"), values, strict=True)
            )
            for figure, png in figures.items():
                run.log_file(f"figures/{figure}.png", png)


def _teams_frame(universe: UniverseConfig, teams: Sequence[Team], versions: dict[str, int]) -> pl.DataFrame:
    """Rows of MARL_TEAMS: the weights, and all that trains them again."""
    names = ("iterations", "envs", "window", "task", "roles", "rewards")
    training = {name: getattr(universe.marl, name) for name in names}
    training |= {"market": universe.market, "freq": universe.freq}
    digests = plugin_digests(members(universe.marl, universe.plugins))
    training |= {"plugins": digests} if digests else {}
    params = json.dumps(training | {"test_fraction": universe.folds.test_fraction}, sort_keys=True)
    data_versions = json.dumps(versions, sort_keys=True)
    packed = [(team, *pack(team)) for team in teams]
    rows = [
        (team.seed, universe.marl.algorithm, params, data_versions, settings, list(team.agents), weights)
        for team, settings, weights in packed
    ]
    return pl.DataFrame(rows, schema=MARL_TEAMS.columns, orient="row")


def _summed_up(history: pl.DataFrame, figures: dict[str, bytes], seconds: float) -> TrainingRefresh:
    last = history.filter(pl.col("iteration") == pl.col("iteration").max())
    means = last.group_by("agent", maintain_order=True).agg(pl.col("reward").mean())
    frames = history.group_by("run").agg(pl.col("frames").max())["frames"].sum()
    return TrainingRefresh(
        rows=history.height,
        frames=int(frames),
        reward=dict(means.iter_rows()),
        figures=figures,
        seconds=seconds,
    )
