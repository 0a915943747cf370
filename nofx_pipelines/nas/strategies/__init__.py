"""Strategies: each proposes the next genotypes from the space, the history and a seed, and nothing else.

A proposal depends on what was measured before its batch only, so a search that is killed and resumed, or
spread over any number of workers, asks the same trials. Each is a file of this folder that assigns
``STRATEGY``, or a plug-in; the other files here are parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nofx_pipelines import plugins
from nofx_pipelines.errors import ModelError
from nofx_pipelines.nas.space import Genotype, SearchSpace


@dataclass(frozen=True)
class Observation:
    """An earlier trial: higher ``value`` is better; None when it failed or its batch still runs."""

    genotype: Genotype
    value: float | None


class Strategy(Protocol):
    """Proposes genotypes."""

    def propose(self, space: SearchSpace, history: Sequence[Observation], number: int, seed: int) -> Genotype:
        """The genotype of trial ``number``.

        Parameters
        ----------
        space:
            Ordered finite decisions; a genotype is one integer for each.
        history:
            The trials measured before its batch, then those that its batch asked before it.
        number:
            The trial's, from 0.
        seed:
            The search's; `generator` gives the random numbers of one trial.
        """


@dataclass(frozen=True)
class CheckedStrategy:
    """A strategy whose errors and genotypes outside the space name it."""

    reference: plugins.Reference
    member: Strategy

    def propose(self, space: SearchSpace, history: Sequence[Observation], number: int, seed: int) -> Genotype:
        """The proposal, canonical; PluginError for what is no genotype of the space."""
        with self.reference.guard(f"proposing trial {number}"):
            proposal: Any = self.member.propose(space, history, number, seed)
            if not isinstance(proposal, (tuple, list, np.ndarray)):
                raise self.reference.refuse(
                    f"proposes {type(proposal).__name__}, not a genotype (a tuple of int)"
                )
            # an array without a dimension cannot be walked through: the guard says so
            genes = list(proposal)
        strange = [gene for gene in genes if isinstance(gene, bool) or not isinstance(gene, Integral)]
        if strange:
            raise self.reference.refuse(f"proposes a genotype with {strange[0]!r}, which is no whole number")
        try:
            return space.canonical([int(gene) for gene in genes])
        except ModelError as error:
            raise self.reference.refuse(f"proposes what is not in the space: {error.problem}") from error


def strategy(name: str, folder: Path | None = None) -> CheckedStrategy:
    """The strategy ``name``; ``folder``: the home's plug-ins.

    Raises ConfigError for a name that there is none of, PluginError for a plug-in that cannot be imported or
    does not propose.

    >>> space = SearchSpace(features=3)
    >>> genotype = strategy("random").propose(space, [], 0, 7)
    >>> genotype == space.canonical(genotype)
    True
    """
    reference = plugins.find("strategies", name, folder)
    member = reference.load()
    reference.require(member, "propose(space, history, number, seed)")
    return CheckedStrategy(reference, member)


def generator(seed: int, number: int) -> np.random.Generator:
    """The random numbers of one trial, whatever other trials drew."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))


def unseen(
    space: SearchSpace, genotype: Genotype, history: Sequence[Observation], rng: np.random.Generator
) -> Genotype:
    """``genotype``, or a random one where it was asked already: a repeat would teach nothing."""
    earlier = {observation.genotype for observation in history}
    for _ in range(20):
        if genotype not in earlier:
            break
        genotype = space.random(rng)
    return genotype
