"""The same items and seed give the same results, in item order, with any number of workers."""

from __future__ import annotations

import os

import pytest

from nofx_pipelines.engine import LocalEngine, item_seeds


def seen(item: int, seed: int) -> tuple[int, int]:
    return item * item, seed


def process(item: int, seed: int) -> int:
    if item < 0:
        raise ValueError(f"item {item}")
    return os.getpid()


def test_workers_change_nothing_but_the_time() -> None:
    here, there = (list(LocalEngine().map(seen, range(7), seed=3, workers=n)) for n in (1, 2))
    assert here == there == [(i * i, seed) for i, seed in enumerate(item_seeds(3, 7))]


def test_each_item_has_its_own_seed_whatever_comes_after() -> None:
    assert len(set(item_seeds(3, 100))) == 100
    assert item_seeds(3, 100)[:5] == item_seeds(3, 5)
    assert item_seeds(3, 5) != item_seeds(4, 5)


def test_one_worker_is_this_process_two_are_not() -> None:
    assert set(LocalEngine().map(process, range(2), seed=0, workers=1)) == {os.getpid()}
    assert os.getpid() not in LocalEngine().map(process, range(2), seed=0, workers=2)


def test_a_failure_is_raised_not_lost() -> None:
    with pytest.raises(ValueError, match="item -1"):
        list(LocalEngine().map(process, [1, -1], seed=0, workers=2))
