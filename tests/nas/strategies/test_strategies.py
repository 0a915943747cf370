"""Strategies on a table that is known whole: an architecture's worth is read off, not trained."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nofx_pipelines.errors import ConfigError
from nofx_pipelines.nas.shapes import total
from nofx_pipelines.nas.space import Genotype, SearchSpace
from nofx_pipelines.nas.strategies import Strategy, Told, strategy
from nofx_pipelines.nas.strategies.mutations import MUTATIONS, mutate

SPACE = SearchSpace(features=4, depth=3)
TRIALS, SEEDS = 100, 12


def worth(genotype: Genotype) -> float:
    """Additive in the genes that count, with pairs, and less for size; drawn once from a fixed seed."""
    rng = np.random.default_rng(99)
    tables = [rng.normal(size=len(d.values)) for d in SPACE.decisions]
    pairs = rng.normal(size=(len(SPACE.decisions), 8, 8)) * 0.5
    active = SPACE.active(genotype)
    score = sum(tables[p][genotype[p]] for p in active)
    score += sum(pairs[p, genotype[p] % 8, genotype[q] % 8] for p, q in itertools.pairwise(active))
    return float(score - 0.1 * np.log(total(SPACE.decode(genotype))[0]))


def best_of(chosen: Strategy, seed: int) -> float:
    history: list[Told] = []
    for number in range(TRIALS):
        genotype = chosen.propose(SPACE, history, number, seed)
        assert genotype == SPACE.canonical(genotype)
        history.append(Told(genotype, worth(genotype)))
    return max(told.value or -9.0 for told in history)


def test_evolution_and_tpe_beat_random_search() -> None:
    found = {
        name: np.array([best_of(strategy(name), seed) for seed in range(SEEDS)])
        for name in ("random", "evolution", "tpe")
    }
    for name in ("evolution", "tpe"):
        difference = found[name] - found["random"]
        # paired over seeds: more than two standard errors
        assert difference.mean() > 2 * difference.std(ddof=1) / np.sqrt(SEEDS), name


@pytest.mark.parametrize("name", ["random", "evolution", "tpe"])
def test_a_proposal_depends_on_history_number_and_seed_only(name: str) -> None:
    rng = np.random.default_rng(1)
    history = [Told(g, worth(g)) for g in (SPACE.random(rng) for _ in range(15))]
    first = strategy(name).propose(SPACE, history, 15, 3)
    np.random.default_rng(5).random(100)
    assert strategy(name).propose(SPACE, list(history), 15, 3) == first
    assert len({strategy(name).propose(SPACE, history, 15, seed) for seed in range(8)}) > 1


@pytest.mark.parametrize("name", ["random", "evolution", "tpe"])
def test_failed_trials_and_repeats_do_no_harm(name: str) -> None:
    rng = np.random.default_rng(2)
    history = [Told(SPACE.random(rng), None) for _ in range(12)]
    assert strategy(name).propose(SPACE, history, 12, 1) not in {told.genotype for told in history}


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ConfigError, match="no strategy 'grid'"):
        strategy("grid")


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
