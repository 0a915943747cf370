"""Random search: what every other strategy has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nofx_pipelines.nas.space import Genotype, SearchSpace
from nofx_pipelines.nas.strategies import Observation, generator, unseen


@dataclass(frozen=True)
class RandomSearch:
    """Draws every gene evenly; never the same architecture twice as far as the history tells."""

    def propose(self, space: SearchSpace, history: Sequence[Observation], number: int, seed: int) -> Genotype:
        """A random genotype."""
        rng = generator(seed, number)
        return unseen(space, space.random(rng), history, rng)


STRATEGY = RandomSearch()
