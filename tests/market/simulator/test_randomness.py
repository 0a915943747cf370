"""A session's draws depend on its name and date alone."""

from __future__ import annotations

from datetime import date

import numpy as np

from nofx_pipelines.market.simulator.randomness import Streams

DAY = date(2024, 1, 2)


def test_equal_arguments_give_equal_draws() -> None:
    first = Streams(7, "cn", "1d").of("noise", DAY).random(50)
    assert np.array_equal(first, Streams(7, "cn", "1d").of("noise", DAY).random(50))


def test_seed_market_frequency_name_and_day_each_give_other_draws() -> None:
    streams = [
        Streams(7, "cn", "1d").of("noise", DAY),
        Streams(8, "cn", "1d").of("noise", DAY),
        Streams(7, "hk", "1d").of("noise", DAY),
        Streams(7, "cn", "1m").of("noise", DAY),
        Streams(7, "cn", "1d").of("news", DAY),
        Streams(7, "cn", "1d").of("noise", date(2024, 1, 3)),
    ]
    draws = np.array([stream.random(4_000) for stream in streams])
    assert len({row[0] for row in draws}) == len(streams)
    off_diagonal = np.corrcoef(draws)[np.triu_indices(len(draws), 1)]
    assert np.abs(off_diagonal).max() < 4 / np.sqrt(4_000)


def test_long_draws_of_one_day_do_not_run_into_the_next() -> None:
    today = Streams(7, "cn", "1d").of("noise", 10).random(100_000)
    assert not np.isin(Streams(7, "cn", "1d").of("noise", 11).random(100), today).any()
