"""One model's test: every metric with its bootstrap interval, and the series that paired tests need.

Intervals are two-sided percentile intervals of the stationary block bootstrap over sessions. The block
length is the automatic one of the metric's own series, but never below the sessions that one label spans,
since labels that overlap make neighbouring sessions' coefficients depend on each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.errors import DataError, NotEnoughData
from nofx_pipelines.evaluation import bootstrap, metrics
from nofx_pipelines.evaluation.deflated_sharpe import deflated_sharpe, moments, probabilistic_sharpe
from nofx_pipelines.evaluation.portfolio import CAPITAL, simulate
from nofx_pipelines.evaluation.portfolio_ledger import CostRule
from nofx_pipelines.lake.schemas import EQUITY, LEADERBOARD

Array = NDArray[np.float64]

RANK_IC = "rank_ic"
RANK_IC_TIME = "rank_ic_time"
"""The rank IC's name below five instruments, where it is taken over time."""


@dataclass(frozen=True)
class MetricValue:
    """A metric, its interval and the number of sessions behind it; unknown is None."""

    value: float | None
    lo: float | None
    hi: float | None
    n: int


@dataclass(frozen=True)
class Trials:
    """How many independent configurations were tried before, and how much their Sharpe ratios varied.

    ``sharpe_variance`` is that of the trials' annualised Sharpe ratios; None takes the variance that the
    estimate of a skill-less, independent trial has over the test, the strictest reading.
    """

    count: float = 1.0
    sharpe_variance: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """What a test said about one model.

    ``sessions``: session_date, ic?, rank_ic?, net_return?, active_return?, turnover;
    ``equity``: ts_close, session_date, equity, turnover, cost. ``min_block`` is the label's span in
    sessions, the bootstrap's shortest block.
    """

    metrics: dict[str, MetricValue]
    sessions: pl.DataFrame
    equity: pl.DataFrame
    rank_ic_metric: str
    min_block: float
    confidence: float
    resamples: int
    seed: int

    @property
    def rank_ic(self) -> MetricValue:
        """The rank IC, across instruments or over time, whichever this universe has."""
        return self.metrics[self.rank_ic_metric]

    def leaderboard(
        self, model: str, version: str, kind: str, seed: int | None, data_versions: Mapping[str, int]
    ) -> pl.DataFrame:
        """The metrics as rows of the table leaderboard."""
        versions = json.dumps(dict(sorted(data_versions.items())), separators=(",", ":"))
        rows = [
            (model, version, name, kind, m.value, m.lo, m.hi, m.n, seed, versions)
            for name, m in self.metrics.items()
        ]
        return pl.DataFrame(rows, schema=LEADERBOARD.columns, orient="row")

    def equity_rows(self, policy: str, seed: int) -> pl.DataFrame:
        """The equity curve as rows of the table equity."""
        named = self.equity.with_columns(
            pl.lit(policy).alias("policy"), pl.lit(seed, dtype=pl.Int64).alias("seed")
        )
        return named.select(list(EQUITY.columns))


def evaluate(
    predictions: pl.DataFrame,
    bars: pl.DataFrame,
    costs: CostRule,
    *,
    horizon: int,
    periods_per_year: float,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 7,
    trials: Trials | None = None,
    holding_bars: int = 1,
    capital: float = CAPITAL,
) -> Evaluation:
    """Measure predictions against what happened, and the portfolio that they would have made.

    ``predictions``: instrument_id, ts_close, session_date, score, forward_return? (log). ``bars``: adjusted
    prices, see ``panel.price_panel``. ``horizon`` in bars; ``periods_per_year`` is sessions
    a year, since Sharpe and its kin are taken on the sessions' returns whatever the bars' frequency.
    Active returns are net returns less those of the passive portfolio: the same rule with the same costs on
    scores that are all alike, so every instrument at equal weight. Luck is judged on them: in a rising
    market a long portfolio without skill has a high Sharpe ratio, and a deflated one too. Below five
    instruments the portfolio chooses between them and cash, and the passive one is cash.
    Raises DataError for scores that are not finite and for repeated keys.
    """
    _check(predictions)
    known = predictions.filter(pl.col("score").is_not_null())
    cross_section = known["instrument_id"].n_unique() >= metrics.MIN_CROSS_SECTION
    name = RANK_IC if cross_section else RANK_IC_TIME
    equity, passive = (
        simulate(scored, bars, costs, holding_bars=holding_bars, capital=capital)
        for scored in (known, known.with_columns(pl.lit(1.0 if cross_section else -1.0).alias("score")))
    )
    sessions = _session_series(known, equity, passive, cross_section)
    min_block = max(1.0, horizon / max(_bars_per_session(known), 1.0))
    judge = _Judge(min_block, confidence, resamples, seed)
    measured = {
        **_prediction_metrics(sessions, judge, name),
        **_return_metrics(sessions, judge, periods_per_year),
        **_sharpe_probabilities(sessions, periods_per_year, trials or Trials()),
    }
    shown = sessions.drop("hits", "calls")
    return Evaluation(measured, shown, equity, name, min_block, confidence, resamples, seed)


def mean_rank_ic(predictions: pl.DataFrame) -> float | None:
    """Mean over sessions of the rank IC, across instruments or, below five, over time; None if unknown."""
    known = predictions.filter(pl.col("score").is_not_null())
    cross_section = known["instrument_id"].n_unique() >= metrics.MIN_CROSS_SECTION
    sessions = _rank_ics(known, cross_section)["rank_ic"].drop_nulls()
    return float(sessions.to_numpy().mean()) if len(sessions) else None


def _rank_ics(predictions: pl.DataFrame, cross_section: bool) -> pl.DataFrame:
    """session_date, ic, rank_ic: means over the session's bars."""
    coefficients = metrics.cross_sectional_ic if cross_section else metrics.ic_over_time
    by_session = coefficients(predictions).group_by("session_date").agg(pl.col("ic", "rank_ic").mean())
    return by_session.sort("session_date")


def _check(predictions: pl.DataFrame) -> None:
    if predictions.is_empty():
        raise NotEnoughData("there are no predictions to evaluate", hint="widen start and end in nofx.toml")
    broken = predictions.filter(~pl.col("score").is_finite()).height
    if broken:
        raise DataError(f"{broken} of {predictions.height} scores are NaN or infinite; unknown is null")
    repeated = predictions.height - predictions.n_unique(subset=["instrument_id", "ts_close"])
    if repeated:
        raise DataError(f"{repeated} predictions repeat an instrument_id and ts_close; each may appear once")


def _bars_per_session(predictions: pl.DataFrame) -> float:
    return predictions["ts_close"].n_unique() / predictions["session_date"].n_unique()


def _session_series(
    predictions: pl.DataFrame, equity: pl.DataFrame, passive: pl.DataFrame, cross_section: bool
) -> pl.DataFrame:
    """One row a session: ic, rank_ic, hits, calls, net_return, active_return, turnover."""
    without_skill = session_returns(passive).select("session_date", passive="net_return")
    by_session = _rank_ics(predictions, cross_section)
    counted = metrics.hits(predictions, cross_section=cross_section)
    return (
        session_returns(equity)
        .join(without_skill, on="session_date", how="left")
        .with_columns((pl.col("net_return") - pl.col("passive")).alias("active_return"))
        .join(by_session, on="session_date", how="left")
        .join(counted, on="session_date", how="left")
        .select("session_date", "ic", "rank_ic", "hits", "calls", "net_return", "active_return", "turnover")
        .sort("session_date")
    )


def session_returns(equity: pl.DataFrame) -> pl.DataFrame:
    """Net simple return and turnover of each session of an equity curve that starts at 1.

    The session of the first decision has a return only if a bar followed the decision in it. Returns
    session_date, net_return?, turnover.
    """
    daily = (
        equity.sort("ts_close")
        .group_by("session_date", maintain_order=True)
        .agg(pl.col("equity").last(), pl.col("turnover").sum(), pl.len().alias("bars"))
    )
    opening_only = (pl.int_range(pl.len()) == 0) & (pl.col("bars") == 1)
    ratio = pl.col("equity") / pl.col("equity").shift(1, fill_value=1.0) - 1.0
    return daily.select("session_date", pl.when(~opening_only).then(ratio).alias("net_return"), "turnover")


@dataclass(frozen=True)
class _Judge:
    """Turns a session series and a statistic into a value with its interval."""

    min_block: float
    confidence: float
    resamples: int
    seed: int

    def __call__(self, series: Array, statistic: Callable[[Array], Array], *, overlap: bool) -> MetricValue:
        n = int(series.shape[-1])
        if n == 0:
            return MetricValue(None, None, None, 0)
        value = float(statistic(series))
        bounds = bootstrap.interval(
            series,
            statistic,
            confidence=self.confidence,
            resamples=self.resamples,
            seed=self.seed,
            min_block=self.min_block if overlap else 1.0,
        )
        lo, hi = bounds if bounds and math.isfinite(value) else (None, None)
        return MetricValue(_finite(value), lo, hi, n)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _known(sessions: pl.DataFrame, *columns: str) -> Array:
    values = sessions.select(columns).drop_nulls().to_numpy().astype(np.float64).T
    return values[0] if len(columns) == 1 else values


def _prediction_metrics(sessions: pl.DataFrame, judge: _Judge, name: str) -> dict[str, MetricValue]:
    ic, rank_ic = _known(sessions, "ic"), _known(sessions, "rank_ic")
    suffix = "_time" if name == RANK_IC_TIME else ""
    return {
        f"ic{suffix}": judge(ic, bootstrap.mean, overlap=True),
        name: judge(rank_ic, bootstrap.mean, overlap=True),
        f"icir{suffix}": judge(rank_ic, metrics.icir, overlap=True),
        "hit_rate": judge(_known(sessions, "hits", "calls"), _hit_rate, overlap=True),
    }


def _hit_rate(counts: Array) -> Array:
    hits, calls = counts.sum(axis=-1)
    return np.asarray(hits / np.where(calls > 0, calls, np.nan))


def _return_metrics(sessions: pl.DataFrame, judge: _Judge, per_year: float) -> dict[str, MetricValue]:
    returns, turnover = _known(sessions, "net_return"), _known(sessions, "turnover")
    return {
        "sharpe": judge(returns, lambda r: metrics.sharpe(r, per_year), overlap=False),
        "active_sharpe": judge(
            _known(sessions, "active_return"), lambda r: metrics.sharpe(r, per_year), overlap=False
        ),
        "sortino": judge(returns, lambda r: metrics.sortino(r, per_year), overlap=False),
        "calmar": judge(returns, lambda r: metrics.calmar(r, per_year), overlap=False),
        "annual_return": judge(returns, lambda r: metrics.annual_return(r, per_year), overlap=False),
        "max_drawdown": judge(returns, metrics.max_drawdown, overlap=False),
        "turnover": judge(turnover, bootstrap.mean, overlap=False),
    }


def _sharpe_probabilities(sessions: pl.DataFrame, per_year: float, trials: Trials) -> dict[str, MetricValue]:
    """Probabilistic and deflated Sharpe ratio of the active returns; probabilities carry no interval."""
    returns = _known(sessions, "active_return")
    n = returns.size
    observed = float(metrics.sharpe(returns, 1.0)) if n > 1 else math.nan
    if not math.isfinite(observed):
        unknown = MetricValue(None, None, None, n)
        return {"probabilistic_sharpe": unknown, "deflated_sharpe": unknown}
    skew, kurtosis = moments(returns)
    variance = 1.0 / (n - 1) if trials.sharpe_variance is None else trials.sharpe_variance / per_year
    against_zero = probabilistic_sharpe(observed, 0.0, n, skew, kurtosis)
    deflated = deflated_sharpe(observed, trials.count, variance, n, skew, kurtosis)
    return {
        "probabilistic_sharpe": MetricValue(_finite(against_zero), None, None, n),
        "deflated_sharpe": MetricValue(_finite(deflated), None, None, n),
    }


def paired_difference(candidate: Evaluation, incumbent: Evaluation) -> MetricValue:
    """Mean difference of the sessions' rank ICs, candidate less incumbent, with its interval.

    Sessions are paired: both models' coefficients of a session are resampled together, which is the
    bootstrap of their difference. Only sessions that both have count.
    """
    pair = candidate.sessions.select("session_date", "rank_ic").join(
        incumbent.sessions.select("session_date", pl.col("rank_ic").alias("other")), on="session_date"
    )
    difference = _known(pair.select((pl.col("rank_ic") - pl.col("other")).alias("difference")), "difference")
    block = max(candidate.min_block, incumbent.min_block)
    judge = _Judge(block, candidate.confidence, candidate.resamples, candidate.seed)
    return judge(difference, bootstrap.mean, overlap=True)
