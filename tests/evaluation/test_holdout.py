"""The hold-out: the last fold's test, with the bars and costs that judge it."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from nofx_pipelines.evaluation.holdout import board_of, hold_out
from nofx_pipelines.market.rules import costs
from tests.chain import Chain


def test_it_is_the_last_fold_s_test_and_nothing_earlier(finished_chain: Chain) -> None:
    test = hold_out(finished_chain.lake, finished_chain.universe)
    folds = finished_chain.table("folds").scan().collect()
    last = folds.filter((pl.col("fold") == folds["fold"].max()) & (pl.col("role") == "test"))
    scored = test.rows.predictions(np.zeros(len(test.rows.x)))
    assert scored["session_date"].min() >= last["start"][0]
    assert scored["session_date"].max() <= last["end"][0]
    assert test.bars["session_date"].min() >= last["start"][0]


def test_no_row_of_it_was_trained_or_tuned_on(finished_chain: Chain) -> None:
    folds = finished_chain.table("folds").scan().collect()
    start = folds.filter((pl.col("fold") == folds["fold"].max()) & (pl.col("role") == "test"))["start"][0]
    others = folds.filter((pl.col("role") != "test") | (pl.col("fold") != folds["fold"].max()))
    assert others["end"].max() <= start


def test_costs_are_those_of_the_day(finished_chain: Chain) -> None:
    test = hold_out(finished_chain.lake, finished_chain.universe)
    board = board_of(finished_chain.lake, finished_chain.universe)
    for day in (date(2023, 8, 25), date(2024, 9, 2)):  # stamp duty was halved on 28 August 2023
        assert test.costs(day) == costs("cn", board, day)
    assert test.costs(date(2023, 8, 25)) != test.costs(date(2024, 9, 2))


def test_perfect_foresight_beats_none(finished_chain: Chain) -> None:
    test = hold_out(finished_chain.lake, finished_chain.universe)
    frame = test.rows.predictions(np.zeros(len(test.rows.x)))
    known = test.evaluate(frame.with_columns(score=pl.col("forward_return")))
    wrong = test.evaluate(frame.with_columns(score=-pl.col("forward_return")))
    assert known.rank_ic.value is not None
    assert known.rank_ic.value > 0.99
    assert (known.metrics["sharpe"].value or 0) > (wrong.metrics["sharpe"].value or 0)
