"""Six small changes of a genotype; each returns a canonical genotype, the same one where it cannot act."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nofx_pipelines.nas.space import Genotype, SearchSpace

Mutation = Callable[[SearchSpace, Genotype, np.random.Generator], Genotype]


def change_activation(space: SearchSpace, genotype: Genotype, rng: np.random.Generator) -> Genotype:
    """Another activation in one layer."""
    return _change_one(space, genotype, rng, "activation_")


def change_width(space: SearchSpace, genotype: Genotype, rng: np.random.Generator) -> Genotype:
    """Another width of all layers."""
    return _change_one(space, genotype, rng, "width")


def add_dropout(space: SearchSpace, genotype: Genotype, rng: np.random.Generator) -> Genotype:
    """Dropout in a layer that has none."""
    place = _one_of(rng, [p for p in _active(space, genotype, "dropout_") if genotype[p] == 0])
    if place is None:
        return genotype
    return _with(space, genotype, {place: 1 + int(rng.integers(len(space.decisions[place].values) - 1))})


def remove_dropout(space: SearchSpace, genotype: Genotype, rng: np.random.Generator) -> Genotype:
    """No dropout in a layer that has some."""
    place = _one_of(rng, [p for p in _active(space, genotype, "dropout_") if genotype[p] > 0])
    return genotype if place is None else _with(space, genotype, {place: 0})


def add_layer(space: SearchSpace, genotype: Genotype, rng: np.random.Generator) -> Genotype:
    """A random layer more, at the end, where there is room."""
    depth = space.places["depth"]
    if genotype[depth] + 1 >= space.depth:
        return genotype
    genes = [int(rng.integers(len(decision.values))) for decision in space.decisions]
    k = genotype[depth] + 1
    fresh = {p: genes[p] for name, p in space.places.items() if name.endswith(f"_{k}")}
    return _with(space, genotype, {**fresh, depth: genotype[depth] + 1})


def remove_layer(space: SearchSpace, genotype: Genotype, rng: np.random.Generator) -> Genotype:
    """One layer less, where there is more than one: it becomes a skip and is dropped."""
    depth = genotype[space.places["depth"]] + 1
    if depth < 2:
        return genotype
    place = space.places[f"op_{int(rng.integers(depth))}"]
    return _with(space, genotype, {place: space.decisions[place].values.index("skip")})


def change_gene(space: SearchSpace, genotype: Genotype, rng: np.random.Generator) -> Genotype:
    """Another value of any one gene that counts."""
    return _change_one(space, genotype, rng, "")


MUTATIONS: tuple[Mutation, ...] = (
    change_activation,
    change_width,
    add_dropout,
    remove_dropout,
    add_layer,
    remove_layer,
)
"""The six; ``change_gene`` reaches what they do not (operations, lookback, norms)."""


def mutate(space: SearchSpace, genotype: Genotype, rng: np.random.Generator) -> Genotype:
    """One mutation that changes something: a gene in half of the cases, else one of the six."""
    for _ in range(50):
        mutation = change_gene if rng.random() < 0.5 else MUTATIONS[int(rng.integers(len(MUTATIONS)))]
        child = mutation(space, genotype, rng)
        if child != genotype:
            return child
    return space.random(rng)


def _active(space: SearchSpace, genotype: Genotype, prefix: str) -> list[int]:
    return [p for p in space.active(genotype) if space.decisions[p].name.startswith(prefix)]


def _change_one(space: SearchSpace, genotype: Genotype, rng: np.random.Generator, prefix: str) -> Genotype:
    places = [p for p in _active(space, genotype, prefix) if len(space.decisions[p].values) > 1]
    place = _one_of(rng, places)
    if place is None:
        return genotype
    step = 1 + int(rng.integers(len(space.decisions[place].values) - 1))
    return _with(space, genotype, {place: (genotype[place] + step) % len(space.decisions[place].values)})


def _one_of(rng: np.random.Generator, places: Sequence[int]) -> int | None:
    return places[int(rng.integers(len(places)))] if places else None


def _with(space: SearchSpace, genotype: Genotype, genes: dict[int, int]) -> Genotype:
    return space.canonical([genes.get(place, gene) for place, gene in enumerate(genotype)])
