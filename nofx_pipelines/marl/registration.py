"""Judge a universe's teams on later bars, register the first as ONNX, and say whether it may lead."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import torch

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import ModelError
from nofx_pipelines.lake.schemas import POLICY_CHAMPION, POLICY_LEADERBOARD, ROLE_CREDIT
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.markdown import escape, table
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.marl.contest import TEAM, groups_of, run_contest
from nofx_pipelines.marl.credit import Credit, credit
from nofx_pipelines.marl.evaluation import RIVALS, Measure, Verdict, leaderboard_rows, measures, verdict
from nofx_pipelines.marl.figures import policies_figure
from nofx_pipelines.marl.onnx_export import OnnxPolicy, policy_bytes
from nofx_pipelines.marl.panel import MarketPanel
from nofx_pipelines.marl.policy import Policy
from nofx_pipelines.marl.scenario import Scenario, open_scenario
from nofx_pipelines.marl.source import load_panel, versions_read
from nofx_pipelines.marl.trading import Draw
from nofx_pipelines.marl.training import SETTINGS, WEIGHTS, unpack
from nofx_pipelines.registry.lineage import Lineage
from nofx_pipelines.registry.tracking import Tracker
from nofx_pipelines.registry.versions import newest_version

SHOWN = (TEAM, "buy_and_hold", "rules", "random", "hold")
RANDOM_SEEDS = 3
CREDITED_BARS = 250
"""Bars after the cut that credit is given for, at most: 256 teams play them."""
DIFFERING = "differing_actions"
_PARITY_STEPS = 20


@dataclass(frozen=True, eq=False)
class PolicyRefresh:
    """What was registered and how it did; ``differing`` counts actions in which ONNX and the team differ."""

    rows: int
    version: str
    champion: str | None
    promoted: bool
    verdict: str
    differing: int
    markdown: str
    figures: dict[str, bytes]
    seconds: float


@dataclass(frozen=True, eq=False)
class _Stored:
    """One row of ``marl_teams``."""

    policy: Policy
    row: Mapping[str, Any]


def refresh_policy(
    lake: Lake,
    tracker: Tracker,
    universe: UniverseConfig,
    *,
    inputs: str,
    now: datetime,
    run_id: str,
    code_version: str,
    device: str = "cpu",
) -> PolicyRefresh:
    """Run the contest, credit the roles, register and decide; writes the four tables of policies.

    Raises NotEnoughData when there is too little to judge on, ModelError when the teams were trained for
    other roles.
    """
    began = time.perf_counter()
    torch.set_num_threads(1)
    scenario = open_scenario(universe.marl, universe.plugins)
    versions = versions_read(lake, universe)
    panel, cut = load_panel(lake, universe, test_fraction=universe.folds.test_fraction, versions=versions)
    panel = panel.to(device)
    teams = _teams(lake, universe, scenario, device)
    seeds = [universe.gates.seed + place for place in range(RANDOM_SEEDS)]
    contest = run_contest(panel, cut, {seed: team.policy for seed, team in teams.items()}, seeds, scenario)
    per_year = calendar(universe.market).bars_per_year("1d")
    found = measures(contest.equity, universe.gates, per_year)
    said = verdict(found)
    if contest.unpriced:
        names = ", ".join(contest.unpriced)
        said = replace(
            said, sentences=(*said.sentences, f"Held to the end, valued at its last close: {names}.")
        )
    first = next(iter(teams.values()))
    groups = groups_of(panel, cut, scenario.task.instruments)
    bars = min(len(panel.session_date) - 1 - cut, CREDITED_BARS)
    earned = credit(panel, first.policy, cut, groups[0].tolist(), bars, scenario)
    episode = _episode(scenario, panel, Draw(torch.full((len(groups),), cut), groups), first.policy)
    recorded = newest_version(lake.table(universe.name, "policy_leaderboard"))
    version, differing = _register(tracker, universe, first, found, episode, run_id, code_version, recorded)
    champion, previous = _decide(tracker, universe, version, said)
    tables = versions | {"marl_teams": lake.table(universe.name, "marl_teams").version()}
    lineage = json.dumps(dict(tables), sort_keys=True)
    found.append(Measure("onnx", DIFFERING, float(differing), None, None, _PARITY_STEPS))
    board = pl.DataFrame(
        leaderboard_rows(found, universe.agents_name, version, lineage),
        schema=POLICY_LEADERBOARD.columns,
        orient="row",
    )
    throne = (universe.agents_name, champion or version, previous, said.beaten, str(said), now)
    written = {
        "policy_equity": contest.equity,
        "role_credit": _credit_frame(universe, version, earned),
        "policy_champion": pl.DataFrame([throne], schema=POLICY_CHAMPION.columns, orient="row"),
        "policy_leaderboard": board,
    }
    for name, frame in written.items():
        lake.table(universe.name, name).overwrite(
            frame, lineage=versions, code_version=code_version, inputs=inputs, run_id=run_id
        )
    return PolicyRefresh(
        rows=board.height,
        version=version,
        champion=champion,
        promoted=said.beaten,
        verdict=str(said),
        differing=differing,
        markdown=_markdown(said, found),
        figures={"equity": policies_figure(contest.equity, SHOWN)},
        seconds=time.perf_counter() - began,
    )


def known_policy(lake: Lake, universe: UniverseConfig) -> PolicyRefresh:
    """What was registered last, read from its tables."""
    board = lake.table(universe.name, "policy_leaderboard").scan().collect()
    throne = lake.table(universe.name, "policy_champion").scan().collect().to_dicts()[0]
    equity = lake.table(universe.name, "policy_equity").scan().collect()
    differing = board.filter(pl.col("metric") == f"onnx:{DIFFERING}")["value"][0]
    return PolicyRefresh(
        rows=board.height,
        version=board["version"][0],
        champion=throne["version"] if throne["promoted"] else throne["previous"],
        promoted=throne["promoted"],
        verdict=throne["reason"],
        differing=int(differing),
        markdown=escape(throne["reason"]),
        figures={"equity": policies_figure(equity, SHOWN)},
        seconds=0.0,
    )


def _teams(lake: Lake, universe: UniverseConfig, scenario: Scenario, device: str) -> dict[int, _Stored]:
    """The trained teams by seed, the registered one first."""
    names = [role.name for role in scenario.roles]
    rows = lake.table(universe.name, "marl_teams").scan().collect().to_dicts()
    by_seed = {row["seed"]: row for row in rows}
    missing = [seed for seed in universe.marl.seeds if seed not in by_seed]
    if missing:
        raise ModelError(
            f"{universe.name}/marl_teams has no team of seed {missing[0]} (it has {sorted(by_seed)})",
            kept="nothing was registered",
            hint=f"nofx run --universe {universe.name} --force",
        )
    others = next((by_seed[seed] for seed in universe.marl.seeds if by_seed[seed]["agents"] != names), None)
    if others is not None:
        raise ModelError(
            f"{universe.name}/marl_teams holds a team of {', '.join(others['agents'])}, "
            f"the roles are {', '.join(names)}",
            kept="nothing was registered",
            hint=f"nofx run --universe {universe.name} --force",
        )
    return {
        seed: _Stored(unpack(by_seed[seed]["settings"], by_seed[seed]["weights"]).to(device), by_seed[seed])
        for seed in universe.marl.seeds
    }


def _register(
    tracker: Tracker,
    universe: UniverseConfig,
    team: _Stored,
    found: list[Measure],
    episode: tuple[Any, Any, Any],
    run_id: str,
    code_version: str,
    recorded: int,
) -> tuple[str, int]:
    """Register the team's ONNX with its lineage; the version, and in how many actions it differs."""
    onnx = policy_bytes(team.policy.cpu(), team.row["agents"])
    observation, mask, expected = episode
    acted = OnnxPolicy(onnx).act(observation, mask)
    lineage = lineage_of(universe, team.row, run_id, code_version)
    metrics = {m.metric: m.value for m in found if m.policy == TEAM and np.isfinite(m.value)}
    tags = {"nofx.stage": "marl_policy", "nofx.universe": universe.name, "nofx.dagster_run_id": run_id}
    with tracker.run(universe.agents_name, experiment=universe.name, tags=tags) as run:
        run.log_metrics(metrics)
        version = tracker.register_network(
            universe.agents_name,
            onnx,
            lineage,
            run=run,
            example={"observation": observation[:2], "mask": mask[:2]},
            output={"action": acted[:2]},
            files={WEIGHTS: team.row["weights"], SETTINGS: team.row["settings"].encode()},
            after=recorded,
        )
    return version, int((acted != expected).sum())


def lineage_of(universe: UniverseConfig, row: Mapping[str, Any], run_id: str, code_version: str) -> Lineage:
    """Where a row of ``marl_teams`` came from, and what trains it again.

    The plug-ins' sources are those that it was trained with, whatever they are now.
    """
    from nofx_pipelines.marl.reproduce import LIBRARIES, training_code
    from nofx_pipelines.registry.lineage import libraries

    params = json.loads(row["training"])
    digests = params.pop("plugins", {})
    return Lineage(
        universe=universe.name,
        family=row["algorithm"],
        kind="policy",
        params=params,
        seed=row["seed"],
        data_versions=json.loads(row["data_versions"]),
        code_version=code_version,
        run_id=run_id,
        training_code=training_code(),
        libraries=libraries(LIBRARIES),
        plugins=digests,
    )


def _episode(scenario: Scenario, panel: MarketPanel, draw: Draw, policy: Policy) -> tuple[Any, Any, Any]:
    """Observations, masks and greedy actions of a few later bars, as arrays ``[B, A, …]``."""
    floor = scenario.judging_floor(panel, draw, _PARITY_STEPS)
    step, steps = floor.reset(torch.Generator()), []
    for _ in range(_PARITY_STEPS):
        action = policy.act(step.observation, step.action_mask, None)
        steps.append((step.observation, step.action_mask, action))
        step = floor.step(action)
    observation, mask, acted = (torch.cat(parts).cpu().numpy() for parts in zip(*steps, strict=True))
    return observation, mask, acted


def _decide(
    tracker: Tracker, universe: UniverseConfig, version: str, said: Verdict
) -> tuple[str | None, str | None]:
    """Move ``@champion`` if every rival was beaten; who has it now and who had it before."""
    previous = tracker.alias(universe.agents_name, "champion")
    if said.beaten:
        tracker.set_alias(universe.agents_name, "champion", version)
        return version, previous
    return previous, previous


def _credit_frame(universe: UniverseConfig, version: str, earned: Credit) -> pl.DataFrame:
    rows = [
        (universe.agents_name, version, role, value, alone)
        for role, value, alone in zip(earned.roles, earned.value, earned.alone, strict=True)
    ]
    return pl.DataFrame(rows, schema=ROLE_CREDIT.columns, orient="row")


def _markdown(said: Verdict, found: list[Measure]) -> str:
    by = {(m.policy, m.metric): m for m in found}
    rows = []
    for policy in (TEAM, *RIVALS):
        growth, ratio, fall = (by[policy, name] for name in ("growth", "sharpe", "max_drawdown"))
        bounds = "" if growth.lo is None or growth.hi is None else f" [{growth.lo:.5f}, {growth.hi:.5f}]"
        ratio_said = f"{ratio.value:.2f}" if np.isfinite(ratio.value) else "none"
        rows.append((policy, f"{growth.value:.5f}{bounds}", ratio_said, f"{fall.value:.3f}"))
    lines = "\n".join(escape(line) for line in str(said).splitlines())
    return f"{lines}\n\n{table(('policy', 'growth a session', 'Sharpe', 'drawdown'), rows)}"
