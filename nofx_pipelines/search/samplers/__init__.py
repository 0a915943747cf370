"""Samplers: each proposes a trial's parameters from the space, the history and a seed, and nothing else.

A proposal depends on what was asked and measured before it only, so a study that is killed and resumed, or
spread over any number of workers, asks the same trials. Trial 0 is the space's first; a sampler is asked from
trial 1 on. Each is a file of this folder that assigns ``SAMPLER``, or a plug-in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from nofx_pipelines import plugins
from nofx_pipelines.models.space import SearchSpace, Value


@dataclass(frozen=True)
class Observation:
    """An earlier trial; of those that still run only the parameters are known."""

    number: int
    params: Mapping[str, Value]
    state: Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL"]
    value: float | None = None
    """Mean rank IC, higher is better; of a pruned trial that of the folds before it gave up."""
    steps: tuple[float, ...] = ()
    """Mean rank IC after each fold."""


class Sampler(Protocol):
    """Proposes parameters."""

    def propose(
        self, space: SearchSpace, history: Sequence[Observation], number: int, seed: int
    ) -> Mapping[str, Value]:
        """A value for every parameter of the space.

        Parameters
        ----------
        space:
            Ordered parameters with their bounds.
        history:
            Trials 0 to ``number - 1`` in order. Those of its own batch still run.
        number:
            The trial's, from 1.
        seed:
            The study's; `generator` gives the random numbers of one trial.
        """


@dataclass(frozen=True)
class CheckedSampler:
    """A sampler whose errors and proposals outside the space name it."""

    reference: plugins.Reference
    member: Sampler

    def propose(
        self, space: SearchSpace, history: Sequence[Observation], number: int, seed: int
    ) -> dict[str, Value]:
        """The proposal in the space's order; PluginError for one outside the space."""
        with self.reference.guard(f"proposing trial {number}"):
            proposal: Any = self.member.propose(space, history, number, seed)
            if not isinstance(proposal, Mapping):
                kind = type(proposal).__name__
                raise self.reference.refuse(f"proposes {kind}, not a value for each parameter")
            params = {name: _plain(value) for name, value in proposal.items()}
            problem = space.why_outside(params)
        if problem is not None:
            raise self.reference.refuse(f"proposes a trial outside the space {space.name!r}: {problem}")
        return {parameter.name: params[parameter.name] for parameter in space.parameters}


def sampler(name: str, folder: Path | None = None) -> CheckedSampler:
    """The sampler ``name``; ``folder``: the home's plug-ins.

    Raises ConfigError for a name that there is none of, PluginError for a plug-in that cannot be imported or
    does not propose.

    >>> from nofx_pipelines.models.space import Parameter
    >>> space = SearchSpace("coin", (Parameter("side", "choice", choices=("head",)),), ("head",))
    >>> sampler("random").propose(space, [], 1, 7)
    {'side': 'head'}
    """
    reference = plugins.find("samplers", name, folder)
    member = reference.load()
    reference.require(member, "propose(space, history, number, seed)")
    return CheckedSampler(reference, member)


def trial_seed(seed: int, number: int) -> int:
    """The seed of one trial, whatever other trials drew."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def generator(seed: int, number: int) -> np.random.Generator:
    """The random numbers of one trial, whatever other trials drew."""
    return np.random.default_rng(np.random.SeedSequence([seed, number]))


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's own."""
    return value.item() if isinstance(value, np.generic) else value
