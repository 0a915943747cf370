"""What stands at the end of ``nofx run``: stages, leak check, baseline against candidate, verdicts."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import polars as pl

from nofx_pipelines.cli.terminal import count, home_option, interval, table
from nofx_pipelines.config import Config, UniverseConfig
from nofx_pipelines.graph import STAGES
from nofx_pipelines.lake.store import Lake

SHOWN_METRICS = ("rank_ic", "rank_ic_time", "sharpe", "active_sharpe", "turnover", "max_drawdown")


@dataclass
class StageLine:
    """One stage of this run, for the table at the end."""

    stage: str
    rows: int | None
    seconds: float
    checks: dict[str, str]
    problems: str = ""
    """What went wrong without stopping the stage."""


def summary(
    config: Config,
    universes: Sequence[UniverseConfig],
    lines: Sequence[StageLine],
    fresh: Sequence[str],
    failures: Sequence[tuple[str, str]],
) -> str:
    """The text: one block a subject, in the order in which a reader asks."""
    blocks = [_stages(lines, fresh)] if lines or fresh else []
    blocks += [_failures(failures)] if failures else []
    lake = Lake(config.lake)
    failed = {stage for stage, _ in failures}
    blocks += [block for universe in universes if (block := _verdict(lake, universe, failed))]
    blocks += [block for universe in universes if (block := agents_verdict(lake, universe))]
    report = config.home / "report" / "index.html"
    blocks.append(
        f"report   {report if report.exists() else 'not built yet'}\n"
        f"UI       nofx ui {home_option(config.home)}\n"
        f'tables   nofx sql {home_option(config.home)} "select scope, count(*) from bars group by scope"'
    )
    return "\n\n".join(blocks)


def _stages(lines: Sequence[StageLine], fresh: Sequence[str]) -> str:
    if not lines:
        return f"nothing recomputed: {len(fresh)} stages are fresh"
    rows = [(line.stage, count(line.rows), f"{line.seconds:.1f}", _checks(line.checks)) for line in lines]
    text = table(("stage", "rows", "seconds", "checks"), rows, right=(1, 2))
    text = "\n".join([text, *(f"{line.stage}: {line.problems}" for line in lines if line.problems)])
    return f"{text}\n{len(fresh)} other stages were fresh" if fresh else text


def _checks(checks: dict[str, str]) -> str:
    bad = [f"{name}: {state}" for name, state in checks.items() if state != "passed"]
    return ", ".join(bad) if bad else f"{len(checks)} passed" if checks else ""


def _failures(failures: Sequence[tuple[str, str]]) -> str:
    shown = [f"FAILED {stage}: {message}" for stage, message in failures]
    return "\n".join(
        [*shown, "What was committed stays. Next: mend the cause, then nofx run goes on from there"]
    )


def _verdict(lake: Lake, universe: UniverseConfig, failed: Collection[str]) -> str:
    scores = lake.table(universe.name, "leaderboard")
    gates = lake.table(universe.name, "gates")
    if not scores.exists() or not gates.exists():
        return ""
    board, verdicts = scores.scan().collect(), gates.scan().collect()
    judged = ("source_bars", *(stage.name for stage in (*STAGES["champion"].above(), STAGES["champion"])))
    earlier = any(
        stage.startswith((f"{universe.name}/{name}", f"{universe.market}/source_bars"))
        for stage in failed
        for name in judged
    )
    lines = [f"{universe.name}: {universe.model_name}{', as an earlier run left it' if earlier else ''}"]
    rows = [
        (metric, _value(board, metric, "baseline"), _value(board, metric, "candidate"))
        for metric in SHOWN_METRICS
        if board.filter(pl.col("metric") == metric).height
    ]
    lines.append(table(("  metric", "baseline (ridge)", "candidate"), [(f"  {r[0]}", *r[1:]) for r in rows]))
    refused = verdicts.filter(~pl.col("passed"))
    leak = verdicts.filter(pl.col("gate") == "leak_check")
    lines += [f"  leak check: {reason}" for reason in leak["reason"]]
    if refused.is_empty():
        lines.append(f"  verdict: promoted, all {verdicts.height} gates passed")
    else:
        lines.append(f"  verdict: not promoted, {refused.height} of {verdicts.height} gates failed")
        lines += [f"    {gate}: {reason}" for gate, reason in refused.select("gate", "reason").rows()]
    return "\n".join(lines)


def agents_verdict(lake: Lake, universe: UniverseConfig) -> str:
    """How the universe's team of agents did, in words; empty before it was judged."""
    thrones = lake.table(universe.name, "policy_champion")
    if not thrones.exists():
        return ""
    said = thrones.scan().collect()["reason"][0]
    sentences = re.split(r"(?<=\.) (?=[A-Z])", said)
    return "\n".join([f"{universe.name}: {universe.agents_name}", *(f"  {each}" for each in sentences)])


def _value(board: pl.DataFrame, metric: str, kind: str) -> str:
    row = board.filter((pl.col("metric") == metric) & (pl.col("kind") == kind))
    return interval(*row.select("value", "lo", "hi").row(0)) if row.height else ""
