"""Random search (Bergstra & Bengio, JMLR 2012): what every other sampler has to beat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nofx_pipelines.models.space import Parameter, SearchSpace, Value
from nofx_pipelines.search.samplers import Observation, generator


@dataclass(frozen=True)
class RandomSampler:
    """Every parameter evenly over its bounds, on a logarithmic scale where the space says so."""

    def propose(
        self, space: SearchSpace, history: Sequence[Observation], number: int, seed: int
    ) -> dict[str, Value]:
        """Parameters that do not depend on the history."""
        rng = generator(seed, number)
        return {parameter.name: drawn(parameter, rng) for parameter in space.parameters}


def drawn(parameter: Parameter, rng: np.random.Generator) -> Value:
    """One value, every one as likely as the next; on a logarithmic scale every order of magnitude is."""
    if parameter.kind == "choice":
        return parameter.choices[int(rng.integers(len(parameter.choices)))]
    if parameter.kind == "float":
        return _between(parameter.low, parameter.high, parameter.log, rng)
    # half a step beyond the bounds, so that after rounding the ends are as likely as the others
    whole = round(_between(parameter.low - 0.5, parameter.high + 0.5, parameter.log, rng))
    return min(max(whole, int(parameter.low)), int(parameter.high))


def _between(low: float, high: float, log: bool, rng: np.random.Generator) -> float:
    if log:
        return min(max(math.exp(rng.uniform(math.log(low), math.log(high))), low), high)
    return float(rng.uniform(low, high))


SAMPLER = RandomSampler()
