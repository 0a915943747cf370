"""Mapping a function over items, with a seed each, over processes.

The same items and seed give the same results on any engine and with any number of workers: each
item's own seed is drawn from the map's seed and the item's place, and results come in item order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

import numpy as np

from nofx_pipelines.processes import end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """Where work is mapped: processes here, a cluster later."""

    def map(
        self, function: Callable[[Item, int], Result], items: Sequence[Item], *, seed: int, workers: int
    ) -> Iterable[Result]:
        """``function(item, item_seed)`` for each item, in item order."""


def item_seeds(seed: int, count: int) -> list[int]:
    """One independent seed an item.

    >>> item_seeds(7, 2) == item_seeds(7, 3)[:2]
    True
    """
    return [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(count)]


class LocalEngine:
    """Spawned processes on this machine, each with one thread; one worker runs in this process."""

    def map(
        self, function: Callable[[Item, int], Result], items: Sequence[Item], *, seed: int, workers: int
    ) -> Iterable[Result]:
        """``function(item, item_seed)`` for each item, in item order."""
        seeds = item_seeds(seed, len(items))
        if workers == 1 or len(items) < 2:
            return [function(item, own) for item, own in zip(items, seeds, strict=True)]
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
            return list(pool.map(function, items, seeds))


def _one_thread() -> None:
    import os

    os.environ["OMP_NUM_THREADS"] = "1"
    end_with_parent()


__all__: list[Any] = ["Engine", "LocalEngine", "item_seeds"]
