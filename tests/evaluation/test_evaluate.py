from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.errors import DataError, NotEnoughData
from nofx_pipelines.evaluation import bootstrap, metrics
from nofx_pipelines.evaluation.deflated_sharpe import deflated_sharpe, moments
from nofx_pipelines.evaluation.evaluate import (
    Evaluation,
    Trials,
    evaluate,
    mean_rank_ic,
    paired_difference,
    session_returns,
)
from nofx_pipelines.evaluation.portfolio import simulate
from nofx_pipelines.lake.schemas import EQUITY, LEADERBOARD
from tests.evaluation.test_portfolio_ledger import FREE, Schedule
from tests.evaluation.worlds import bars_frame, predictions_frame

HORIZON = 5


def world(
    seed: int, strength: float = 0.0, bars: int = 120, names: int = 12, per_session: int = 1
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Predictions that carry ``strength`` of the next bar's idiosyncratic return, and their bars."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((bars, names))
    returns = 0.01 * rng.standard_normal((bars, 1)) + 0.02 * rng.standard_normal((bars, names))
    returns[1:] += 0.02 * strength * scores[:-1]
    log_close = np.cumsum(returns, axis=0)
    forward = np.full((bars, names), np.nan)
    forward[:-HORIZON] = log_close[HORIZON:] - log_close[:-HORIZON]
    closes = 100 * np.exp(log_close)
    opens = np.vstack([np.full(names, 100.0), closes[:-1]])
    return predictions_frame(scores, forward, per_session), bars_frame(opens, closes, per_session)


def judged(seed: int = 1, strength: float = 0.5, **options: object) -> Evaluation:
    predictions, bars = world(seed, strength)
    settings = {"horizon": HORIZON, "periods_per_year": 252, "resamples": 200} | options
    return evaluate(predictions, bars, Schedule(3.0, 8.0), **settings)  # type: ignore[arg-type]


def test_each_value_is_the_metric_of_its_own_series() -> None:
    predictions, bars = world(1, 0.5)
    result = evaluate(
        predictions, bars, FREE, horizon=HORIZON, periods_per_year=252, resamples=200, trials=Trials(30, 0.2)
    )
    coefficients = metrics.cross_sectional_ic(predictions)
    equity = simulate(predictions, bars, FREE)
    returns = equity["equity"].to_numpy()[1:] / equity["equity"].to_numpy()[:-1] - 1
    values = {name: metric.value for name, metric in result.metrics.items()}
    assert values["rank_ic"] == pytest.approx(coefficients["rank_ic"].mean())
    assert values["ic"] == pytest.approx(coefficients["ic"].mean())
    assert values["icir"] == pytest.approx(coefficients["rank_ic"].mean() / coefficients["rank_ic"].std())  # type: ignore[operator]
    assert values["sharpe"] == pytest.approx(float(metrics.sharpe(returns, 252)))
    assert values["max_drawdown"] == pytest.approx(float(metrics.max_drawdown(returns)))
    assert values["turnover"] == pytest.approx(equity["turnover"].mean())
    # without skill every instrument is held at equal weight; bought once, at the first fill
    closes = bars.filter(pl.col("ts_close") >= equity["ts_close"][0]).sort("ts_close", "instrument_id")
    price = np.vstack(
        [closes["open"].to_numpy().reshape(-1, 12)[1], closes["close"].to_numpy().reshape(-1, 12)[1:]]
    )
    held = (price / price[0]).mean(axis=1)
    active = returns - (held[1:] / held[:-1] - 1)
    observed = float(metrics.sharpe(active, 1))
    assert values["active_sharpe"] == pytest.approx(observed * 252**0.5)
    expected = deflated_sharpe(observed, 30, 0.2 / 252, 119, *moments(active))
    assert values["deflated_sharpe"] == pytest.approx(expected)
    counts = metrics.hits(predictions, cross_section=True)
    assert values["hit_rate"] == pytest.approx(counts["hits"].sum() / counts["calls"].sum())
    # The last five sessions have no label yet; the first decision has no return yet.
    assert result.metrics["rank_ic"].n == 115
    assert result.metrics["sharpe"].n == 119


def test_the_interval_is_the_stationary_bootstrap_of_the_sessions() -> None:
    result = judged()
    series = result.sessions["rank_ic"].drop_nulls().to_numpy()
    block = max(bootstrap.optimal_block_length(series), HORIZON)
    index = bootstrap.resample(series.size, block, resamples=200, seed=7)
    expected = np.quantile(series[index].mean(axis=1), [0.025, 0.975])
    assert (result.rank_ic.lo, result.rank_ic.hi) == pytest.approx(tuple(expected))
    for name, metric in result.metrics.items():
        if metric.lo is not None and metric.hi is not None:
            assert metric.lo <= metric.hi, name


def test_the_same_inputs_give_the_same_bytes() -> None:
    assert judged().metrics == judged().metrics
    assert judged().equity.equals(judged().equity)
    assert judged(seed=1).metrics["rank_ic"] != judged(seed=2).metrics["rank_ic"]


def test_a_planted_score_is_seen_and_a_blind_one_is_not() -> None:
    seen, blind = judged(strength=0.5), judged(strength=0.0)
    assert seen.rank_ic.lo is not None
    assert blind.rank_ic.lo is not None
    assert seen.rank_ic.lo > 0 > blind.rank_ic.lo
    difference = paired_difference(seen, blind)
    assert difference.lo is not None
    assert difference.lo > 0


def test_pairing_by_session_is_narrower_than_not_pairing() -> None:
    """Two scores that share most of their noise differ by little, session by session."""
    predictions, bars = world(3, 0.5)
    rng = np.random.default_rng(9)
    noisy = predictions.with_columns(
        pl.col("score") + pl.Series(0.3 * rng.standard_normal(predictions.height))
    )
    options = {"horizon": HORIZON, "periods_per_year": 252, "resamples": 500}
    one, two = (evaluate(frame, bars, FREE, **options) for frame in (predictions, noisy))  # type: ignore[arg-type]
    difference = paired_difference(one, two)
    assert difference.value == pytest.approx(one.rank_ic.value - two.rank_ic.value)  # type: ignore[operator]
    width, single = (m.hi - m.lo for m in (difference, one.rank_ic))  # type: ignore[operator]
    assert width < 0.6 * single


def test_a_model_does_not_differ_from_itself() -> None:
    difference = paired_difference(judged(), judged())
    assert (difference.value, difference.lo, difference.hi) == (0.0, 0.0, 0.0)


def test_only_common_sessions_are_paired() -> None:
    one, two = judged(), judged()
    cut = two.sessions["session_date"][60]
    shorter = Evaluation(**{**vars(two), "sessions": two.sessions.filter(pl.col("session_date") < cut)})
    assert paired_difference(one, shorter).n == 60


def test_below_five_instruments_the_coefficient_is_over_time_and_named_so() -> None:
    predictions, bars = world(1, 0.5, bars=400, names=1, per_session=4)
    result = evaluate(predictions, bars, FREE, horizon=HORIZON, periods_per_year=365, resamples=100)
    assert result.rank_ic_metric == "rank_ic_time"
    assert {"ic_time", "rank_ic_time", "icir_time"} <= set(result.metrics)
    assert not {"ic", "rank_ic", "icir"} & set(result.metrics)
    known = predictions.drop_nulls("forward_return")
    # Sessions weigh the same; the last two have fewer known bars than the others, hence the tolerance.
    overall = metrics.spearman(known["score"].to_numpy(), known["forward_return"].to_numpy())
    assert result.rank_ic.value == pytest.approx(overall, abs=0.005)
    assert overall > 0.05


def test_intraday_returns_are_taken_by_session() -> None:
    predictions, bars = world(1, 0.5, bars=120, per_session=4)
    result = evaluate(predictions, bars, FREE, horizon=HORIZON, periods_per_year=252, resamples=100)
    last = result.equity.group_by("session_date", maintain_order=True).agg(pl.col("equity").last())
    curve = np.concatenate([[1.0], last["equity"].to_numpy()])
    assert result.metrics["sharpe"].n == 30
    assert result.metrics["sharpe"].value == pytest.approx(
        float(metrics.sharpe(curve[1:] / curve[:-1] - 1, 252))
    )
    assert result.min_block == pytest.approx(HORIZON / 4)


def test_session_returns_compound_to_the_final_equity() -> None:
    predictions, bars = world(1, 0.5, bars=60, per_session=3)
    equity = simulate(predictions, bars, Schedule(3.0, 8.0))
    growth = (session_returns(equity)["net_return"] + 1).product()
    assert growth == pytest.approx(equity["equity"][-1], rel=1e-12)


def test_without_the_trials_variance_deflation_is_strictest() -> None:
    known, unknown, single = (
        judged(strength=0.1, trials=t).metrics["deflated_sharpe"].value
        for t in (Trials(30, 0.1), Trials(30), Trials(1))
    )
    assert unknown < known < single  # type: ignore[operator]
    assert single == judged(strength=0.1).metrics["probabilistic_sharpe"].value


def test_a_portfolio_that_never_trades_has_no_sharpe() -> None:
    predictions, bars = world(1, bars=60, names=2)
    flat = predictions.with_columns(score=pl.lit(-1.0))
    result = evaluate(flat, bars, FREE, horizon=HORIZON, periods_per_year=252, resamples=50)
    for name in ("sharpe", "sortino", "calmar", "deflated_sharpe", "probabilistic_sharpe", "rank_ic_time"):
        assert result.metrics[name].value is None, name
        assert result.metrics[name].lo is None, name
    assert result.metrics["max_drawdown"].value == 0.0


def test_rows_for_the_lake_have_its_columns() -> None:
    result = judged()
    rows = result.leaderboard("nofx-signal-cn", "3", "candidate", 7, {"cn/labels": 4, "cn/features": 2})
    assert dict(rows.schema) == LEADERBOARD.columns
    assert rows["metric"].is_unique().all()
    assert json.loads(rows["data_versions"][0]) == {"cn/features": 2, "cn/labels": 4}
    assert not rows.select(pl.any_horizontal(pl.col("value", "lo", "hi").is_nan()).any()).item()
    equity = result.equity_rows("nofx-signal-cn/3", 7)
    assert dict(equity.schema) == EQUITY.columns
    assert equity["equity"][0] == 1.0


def test_bad_predictions_are_refused() -> None:
    predictions, bars = world(1, bars=20)
    options = {"horizon": HORIZON, "periods_per_year": 252, "resamples": 50}
    broken = predictions.with_columns(score=pl.when(pl.int_range(pl.len()) == 3).then(np.nan).otherwise(1.0))
    with pytest.raises(DataError, match="1 of 240 scores are NaN or infinite"):
        evaluate(broken, bars, FREE, **options)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="1 predictions repeat"):
        evaluate(pl.concat([predictions, predictions.head(1)]), bars, FREE, **options)  # type: ignore[arg-type]
    with pytest.raises(NotEnoughData):
        evaluate(predictions.clear(), bars, FREE, **options)  # type: ignore[arg-type]


def test_few_sessions_give_values_without_intervals() -> None:
    predictions, bars = world(1, 0.5, bars=30)
    result = evaluate(predictions, bars, FREE, horizon=HORIZON, periods_per_year=252, resamples=50)
    assert result.rank_ic.value is not None
    assert (result.rank_ic.lo, result.rank_ic.hi) == (None, None)
    assert result.sessions["session_date"].max() == date(2024, 1, 1) + timedelta(days=29)


@pytest.mark.parametrize("names", [12, 3])
def test_a_folds_rank_ic_is_the_one_that_the_hold_out_is_judged_by(names: int) -> None:
    predictions, bars = world(4, 0.5, names=names)
    found = evaluate(predictions, bars, FREE, horizon=HORIZON, periods_per_year=252, resamples=100)
    assert found.rank_ic_metric == ("rank_ic" if names > 4 else "rank_ic_time")
    assert mean_rank_ic(predictions) == pytest.approx(found.rank_ic.value)


def test_a_fold_without_returns_has_no_rank_ic() -> None:
    predictions, _ = world(4)
    assert mean_rank_ic(predictions.with_columns(pl.lit(None, pl.Float64).alias("forward_return"))) is None


def test_a_rising_market_is_no_skill() -> None:
    """Every instrument rises day by day: any long portfolio has a high Sharpe ratio, none an active one."""
    predictions, bars = world(4, 0.0)
    day = (pl.col("ts_close").rank("dense").over("instrument_id") * 0.004).exp()
    risen = bars.with_columns(pl.col("open", "close") * day)
    result = evaluate(predictions, risen, FREE, horizon=HORIZON, periods_per_year=252, resamples=50)
    assert result.metrics["sharpe"].value > 3  # type: ignore[operator]
    assert result.metrics["deflated_sharpe"].value < 0.95  # type: ignore[operator]
