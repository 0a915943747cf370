"""What a contest says: growth a session, paired differences with intervals, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.config import GateConfig
from nofx_pipelines.evaluation.bootstrap import interval, mean
from nofx_pipelines.evaluation.metrics import max_drawdown, sharpe
from nofx_pipelines.marl.contest import TEAM

Array = NDArray[np.float64]

RIVALS = ("random", "hold", "buy_and_hold", "rules")
"""A version takes ``@champion`` when its interval above every one of these lies above zero."""
_WORDS = {
    "random": "random actions",
    "hold": "holding cash",
    "buy_and_hold": "buy and hold",
    "rules": "the roles' rules",
}


@dataclass(frozen=True)
class Measure:
    """One figure of a policy; ``lo`` and ``hi`` bound it where an interval could be given."""

    policy: str
    metric: str
    value: float
    lo: float | None
    hi: float | None
    n: int
    seed: int | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether the team beat every rival, and the sentences that say so."""

    beaten: bool
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.sentences)


def session_growth(equity: pl.DataFrame) -> pl.DataFrame:
    """Log growth of every policy and session as one column a policy, the mean over its seeds.

    ``equity``: rows of EQUITY. Bars of a day (UTC) are added up.
    """
    grown = equity.sort("policy", "seed", "ts_close").with_columns(
        pl.col("equity").clip(lower_bound=1e-6).log().diff().over("policy", "seed").alias("growth"),
        pl.col("ts_close").dt.date().alias("day"),
    )
    by_day = grown.drop_nulls("growth").group_by("policy", "seed", "day").agg(pl.col("growth").sum())
    means = by_day.sort("seed").group_by("policy", "day").agg(pl.col("growth").mean())
    return means.pivot("policy", index="day", values="growth").sort("day")


def measures(equity: pl.DataFrame, gates: GateConfig, periods_per_year: float) -> list[Measure]:
    """Growth, Sharpe ratio, drawdown, turnover and cost of each policy, and the team's paired differences.

    A growth's interval is the stationary block bootstrap of `nofx_pipelines.evaluation.bootstrap`.
    """
    grown = session_growth(equity)
    found: list[Measure] = []
    for policy in sorted(set(grown.columns) - {"day"}):
        series = grown[policy].to_numpy()
        found.append(_bounded(policy, "growth", series, gates))
        found += _plain(policy, series, equity.filter(pl.col("policy") == policy), periods_per_year)
    for rival, one in _pairs(grown.columns):
        found.append(_bounded(one, f"above_{rival}", (grown[one] - grown[rival]).to_numpy(), gates))
    own = equity.filter(pl.col("policy") == TEAM)
    for seed in own["seed"].unique().sort():
        series = session_growth(own.filter(pl.col("seed") == seed))[TEAM].to_numpy()
        value = float(series.mean())
        found.append(Measure(TEAM, f"growth_seed_{seed}", value, None, None, len(series), int(seed)))
    return found


def verdict(found: Sequence[Measure]) -> Verdict:
    """Say plainly how the team did against each rival and each role against its rule."""
    by = {(m.policy, m.metric): m for m in found}
    own = by[TEAM, "growth"]
    seeds = [m.value for m in found if m.policy == TEAM and m.metric.startswith("growth_seed_")]
    sentences = [
        f"Over {own.n} later sessions the trained team's equity grew by {_percent(own)} a session "
        f"(mean of {len(seeds)} trainings, {min(seeds):+.3%} to {max(seeds):+.3%})."
    ]
    won = []
    for rival in RIVALS:
        against = by[TEAM, f"above_{rival}"]
        won.append(against.lo is not None and against.lo > 0)
        sentences.append(f"Against {_WORDS[rival]}: {_percent(against)}, {_told_apart(against)}.")
    ahead = [
        m.policy.split("/")[1]
        for m in found
        if "/" in m.policy and m.metric.startswith("above_rule_") and m.lo is not None and m.lo > 0
    ]
    sentences.append(
        f"Roles that beat their own rule: {', '.join(a.replace('_', ' ') for a in ahead) or 'none'}."
    )
    end = "It beats all four and takes @champion." if all(won) else "It does not beat all four: no @champion."
    return Verdict(all(won), tuple(text.replace("%", " %") for text in (*sentences, end)))


def leaderboard_rows(
    found: Sequence[Measure], model: str, version: str, lineage: str
) -> list[tuple[Any, ...]]:
    """Rows of LEADERBOARD, of kind ``policy``; a metric names policy and figure; ``lineage`` is JSON."""
    return [
        (
            model,
            version,
            f"{m.policy}:{m.metric}",
            "policy",
            _known(m.value),
            m.lo,
            m.hi,
            m.n,
            m.seed,
            lineage,
        )
        for m in found
    ]


def from_leaderboard(rows: Sequence[Mapping[str, Any]]) -> list[Measure]:
    """The measures that `leaderboard_rows` wrote."""
    found = []
    for row in rows:
        policy, _, metric = row["metric"].partition(":")
        value = float("nan") if row["value"] is None else row["value"]
        found.append(Measure(policy, metric, value, row["lo"], row["hi"], row["n"], row["seed"]))
    return found


def _pairs(policies: Sequence[str]) -> list[tuple[str, str]]:
    """(rival, challenger): the team against the rivals and managers' rules, each account against its rule."""
    rules = [name for name in policies if name.startswith("rule_")]
    accounts = {f"rule_{name.split('/')[1]}": name for name in policies if name.startswith(f"{TEAM}/")}
    return [(rival, TEAM) for rival in RIVALS] + [(rule, accounts.get(rule, TEAM)) for rule in rules]


def _bounded(policy: str, metric: str, series: Array, gates: GateConfig) -> Measure:
    found = interval(series, mean, confidence=gates.confidence, resamples=gates.resamples, seed=gates.seed)
    lo, hi = found or (None, None)
    return Measure(policy, metric, float(series.mean()), lo, hi, len(series))


def _plain(policy: str, series: Array, equity: pl.DataFrame, periods_per_year: float) -> list[Measure]:
    returns, n = np.expm1(series), len(series)
    values = {
        "sharpe": float(sharpe(returns, periods_per_year)),
        "max_drawdown": float(max_drawdown(returns)),
        "turnover": float(equity["turnover"].mean()),  # type: ignore[arg-type]
        "cost": float(equity["cost"].sum() / equity["seed"].n_unique()),
    }
    return [Measure(policy, name, value, None, None, n) for name, value in values.items()]


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _percent(m: Measure) -> str:
    bounds = "no interval" if m.lo is None or m.hi is None else f"{m.lo:+.3%} to {m.hi:+.3%}"
    return f"{m.value:+.3%} [{bounds}]"


def _told_apart(m: Measure) -> str:
    if m.lo is None or m.hi is None:
        return "too few sessions to tell"
    if m.lo > 0:
        return "better"
    return "worse" if m.hi < 0 else "not told apart"
