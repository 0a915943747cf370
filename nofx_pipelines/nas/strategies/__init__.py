"""Strategies: each proposes the next genotypes from the space, the history and a seed, and nothing else.

A proposal depends on what was told before its batch only, so a search that is killed and resumed, or spread
over any number of workers, asks the same trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nofx_pipelines.errors import ConfigError
from nofx_pipelines.nas.space import Genotype, SearchSpace


@dataclass(frozen=True)
class Told:
    """A finished trial: higher ``value`` is better; None when it failed."""

    genotype: Genotype
    value: float | None


class Strategy(Protocol):
    """Proposes genotypes."""

    def propose(self, space: SearchSpace, history: Sequence[Told], number: int, seed: int) -> Genotype:
        """The genotype of trial ``number``, canonical; ``history`` are the trials told before its batch."""


def strategy(name: str) -> Strategy:
    """``random``, ``tpe`` or ``evolution``; raises ConfigError for any other."""
    from nofx_pipelines.nas.strategies.evolution import Evolution
    from nofx_pipelines.nas.strategies.random import RandomSearch
    from nofx_pipelines.nas.strategies.tpe import Tpe

    known: dict[str, Strategy] = {"random": RandomSearch(), "tpe": Tpe(), "evolution": Evolution()}
    if name not in known:
        raise ConfigError(f"no strategy {name!r}", kept="nothing was run", hint=f"one of {', '.join(known)}")
    return known[name]


def generator(seed: int, number: int) -> np.random.Generator:
    """The random numbers of one trial, whatever other trials drew."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))


def unseen(
    space: SearchSpace, genotype: Genotype, history: Sequence[Told], rng: np.random.Generator
) -> Genotype:
    """``genotype``, or a random one where it was told already: a repeat would teach nothing."""
    known = {told.genotype for told in history}
    for _ in range(20):
        if genotype not in known:
            break
        genotype = space.random(rng)
    return genotype
