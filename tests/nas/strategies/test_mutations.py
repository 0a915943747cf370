"""Six mutations, each doing what its name says."""

from __future__ import annotations

import numpy as np
import pytest

from nofx_pipelines.nas.space import SearchSpace
from nofx_pipelines.nas.strategies.mutations import MUTATIONS, mutate

SPACE = SearchSpace(features=4, depth=3)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.__name__)
def test_a_mutation_does_what_it_says_and_nothing_else(mutation: object) -> None:
    rng, acted = np.random.default_rng(4), 0
    for _ in range(200):
        parent = SPACE.random(rng)
        child = mutation(SPACE, parent, rng)  # type: ignore[operator]
        assert child == SPACE.canonical(child)
        if child == parent:
            continue
        acted += 1
        before, after = SPACE.decode(parent), SPACE.decode(child)
        count = [
            sum(n.name.startswith(what) for n in spec.nodes)
            for spec in (before, after)
            for what in ("layer_", "dropout_")
        ]
        layers, drops = (count[0], count[2]), (count[1], count[3])
        match mutation.__name__:  # type: ignore[attr-defined]
            case "change_width":
                assert before.width != after.width
                assert before.nodes == after.nodes
            case "change_activation":
                assert sum(a != b for a, b in zip(before.nodes, after.nodes, strict=True)) == 1
            case "add_dropout":
                assert drops[1] == drops[0] + 1
                assert layers[0] == layers[1]
            case "remove_dropout":
                assert drops[1] == drops[0] - 1
            case "add_layer":
                assert layers[1] in (layers[0] + 1, layers[0])  # a skip is dropped again
                assert after.nodes[1 : len(before.nodes) - 2] == before.nodes[1:-2]
            case "remove_layer":
                assert layers[1] == layers[0] - 1
    assert acted > 20


def test_every_architecture_can_be_reached() -> None:
    """Mutations alone walk from the simplest architecture to any value of any gene."""
    rng, seen = np.random.default_rng(6), set()
    at = SPACE.canonical([0] * len(SPACE.decisions))
    for _ in range(4_000):
        at = mutate(SPACE, at, rng)
        seen |= {(p, at[p]) for p in SPACE.active(at)}
    wanted = {(p, g) for p, d in enumerate(SPACE.decisions) for g in range(len(d.values))}
    skips = {(SPACE.places[f"op_{k}"], 7) for k in range(1, SPACE.depth)}  # a skip beside others is dropped
    assert wanted - seen <= skips
