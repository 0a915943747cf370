"""The report's page on agents: how they learned, how their team did on later bars, who earned it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.report.charts import Line, Whisker, line_chart, whiskers
from nofx_pipelines.report.markup import Html, figure, interval, number, pill, table

_TEAM = "agents"
_TONES = {_TEAM: "a", "buy_and_hold": "b", "rules": "c", "random": "d"}
_RIVALS = ("random", "hold", "buy_and_hold", "rules")


@dataclass(frozen=True)
class AgentsView:
    """What was trained and judged in one universe; empty frames where the stages have not run."""

    history: pl.DataFrame
    equity: pl.DataFrame
    leaderboard: pl.DataFrame
    champion: pl.DataFrame
    credit: pl.DataFrame


def read_agents(lake: Lake, universe: UniverseConfig) -> AgentsView:
    """Everything that the page shows."""
    names = ("marl_history", "policy_equity", "policy_leaderboard", "policy_champion", "role_credit")
    tables = [lake.table(universe.name, name) for name in names]
    return AgentsView(
        *(t.scan().collect() if t.exists() else pl.DataFrame(schema=t.schema.columns) for t in tables)
    )


def agents_page(view: AgentsView) -> str:
    """The page; says so where nothing was trained."""
    if view.history.is_empty():
        return "<p class='soft'>Not trained yet.</p>"
    parts = [_verdict(view), _equity(view), _rivals(view), _credit(view), _learning(view), _roles(view)]
    return "".join(parts)


def _verdict(view: AgentsView) -> str:
    if view.champion.is_empty():
        return "<p class='soft'>Trained, not judged yet.</p>"
    row = view.champion.to_dicts()[0]
    return f"<p>{pill(row['promoted'], 'champion', 'no champion')} {escape(row['reason'])}</p>"


def _equity(view: AgentsView) -> str:
    """The team against its rivals, the mean over seeds, by day."""
    chosen = view.equity.filter(pl.col("policy").is_in(list(_TONES)))
    if chosen.is_empty():
        return ""
    daily = chosen.with_columns(pl.col("ts_close").dt.date().alias("day")).sort("ts_close")
    last = daily.group_by("policy", "seed", "day").agg(pl.col("equity").last())
    wide = (
        last.group_by("policy", "day").agg(pl.col("equity").mean()).pivot("policy", index="day").sort("day")
    )
    lines = [Line(name, wide[name].to_list(), tone) for name, tone in _TONES.items() if name in wide.columns]
    drawing = line_chart([str(d) for d in wide["day"]], lines, rules=[1.0], title="Equity of the policies")
    return figure(drawing, "Equity on later bars, net of costs and impact, the mean over trainings")


def _rivals(view: AgentsView) -> str:
    rows = [
        Whisker(
            f"above {rival.replace('_', ' ')}", 100 * row["value"], _percent(row["lo"]), _percent(row["hi"])
        )
        for rival in _RIVALS
        for row in view.leaderboard.filter(pl.col("metric") == f"{_TEAM}:above_{rival}").to_dicts()
    ]
    caption = "Earned above each rival, percent a session: an interval that holds zero tells nothing apart"
    return figure(whiskers(rows, title="The team against its rivals"), caption)


def _credit(view: AgentsView) -> str:
    rows = [
        Whisker(row["role"].replace("_", " "), 100 * row["value"], tone="a" if row["value"] >= 0 else "b")
        for row in view.credit.sort("value", descending=True).to_dicts()
    ]
    caption = "Credit: Shapley values, percent of the registered team's equity on its first later bars"
    return figure(whiskers(rows, title="Credit of each role"), caption)


def _learning(view: AgentsView) -> str:
    """Mean reward over roles, by training."""
    curves = view.history.group_by("run", "iteration").agg(pl.col("reward").mean())
    wide = curves.pivot("run", index="iteration").sort("iteration")
    runs = [name for name in wide.columns if name != "iteration"]
    lines = [Line(name, wide[name].to_list(), "abcd"[place % 4]) for place, name in enumerate(sorted(runs))]
    drawing = line_chart([str(i) for i in wide["iteration"]], lines, rules=[0.0], title="Learning curves")
    return figure(drawing, "Reward of an episode by iteration, in percent, the mean over roles")


def _roles(view: AgentsView) -> str:
    """Each role: first and last reward in training, and its account against its own rule."""
    means = view.history.group_by("agent", "iteration").agg(pl.col("reward").mean()).sort("iteration")
    ends = means.group_by("agent").agg(
        pl.col("reward").first().alias("first"), pl.col("reward").last().alias("last")
    )
    rows = []
    for agent, first, last in ends.sort("agent").rows():
        names = [f"{_TEAM}/{agent}:above_rule_{agent}", f"{_TEAM}:above_rule_{agent}"]
        found = view.leaderboard.filter(pl.col("metric").is_in(names)).to_dicts()
        shown = "" if not found else interval(*(_percent(found[0][k]) for k in ("value", "lo", "hi")))
        rows.append((agent.replace("_", " "), number(first), number(last), Html(shown)))
    header = ("role", "reward, first iteration", "last", "above its rule, percent a session")
    return f"<details><summary>Roles</summary>{table(header, rows, numeric=(1, 2, 3))}</details>"


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
