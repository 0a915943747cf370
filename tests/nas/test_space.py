"""Genotypes, architectures and the networks they become: thousands of random ones, built and run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nofx_pipelines.errors import ModelError
from nofx_pipelines.models.networks.network import Network, build, count_parameters
from nofx_pipelines.models.networks.shapes import total
from nofx_pipelines.models.networks.spec import ACTIVATIONS, ArchSpec, Node
from nofx_pipelines.nas.space import LAYER_OPS, SearchSpace

SPACE = SearchSpace(features=5)


def _drawn(seed: int, space: SearchSpace = SPACE) -> tuple[int, ...]:
    rng = np.random.default_rng(seed)
    return tuple(int(rng.integers(len(decision.values))) for decision in space.decisions)


@pytest.mark.parametrize("genotypes", [1_500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_random_genotypes_are_built_and_run(genotypes: int) -> None:
    torch.set_num_threads(1)
    seen = set()
    for seed in range(genotypes):
        genotype = SPACE.canonical(_drawn(seed))
        spec = SPACE.decode(genotype)
        assert SPACE.encode(spec) == genotype
        network = build(spec, seed).eval()
        params, _ = total(spec)
        assert count_parameters(network) == params
        with torch.inference_mode():
            score = network(torch.randn(2, spec.lookback, spec.features))
        assert score.shape == (2,)
        assert torch.isfinite(score).all()
        seen |= {node.op for node in spec.nodes}
    assert seen >= {*LAYER_OPS, *ACTIVATIONS, "batch_norm", "layer_norm", "dropout", "add"} - {"skip"}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1))
def test_decode_after_encode_is_the_identity(seed: int) -> None:
    genotype = _drawn(seed)
    spec = SPACE.decode(genotype)
    canonical = SPACE.encode(spec)
    assert SPACE.decode(canonical) == spec
    assert SPACE.canonical(genotype) == canonical == SPACE.canonical(canonical)
    assert ArchSpec.from_json(spec.to_json()) == spec


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_genes_that_do_not_count_change_nothing(seed: int, other: int) -> None:
    genotype, noise = SPACE.canonical(_drawn(seed)), _drawn(other)
    active = set(SPACE.active(genotype))
    changed = [g if p in active else noise[p] for p, g in enumerate(genotype)]
    assert SPACE.decode(changed).arch_hash == SPACE.decode(genotype).arch_hash


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_bar_sees_a_later_one(seed: int) -> None:
    """Every layer is causal: what a bar's output holds does not move with the bars after it."""
    spec = SPACE.decode(SPACE.canonical(_drawn(seed)))
    network = build(spec, seed).eval()
    if spec.lookback < 2:
        return
    window = torch.randn(1, spec.lookback, spec.features)
    later = window.clone()
    later[:, -1] += 5.0
    with torch.inference_mode():
        before, after = (_last_layer(network, x)[:, :-1] for x in (window, later))
    torch.testing.assert_close(before, after, rtol=0, atol=1e-6)


def _last_layer(network: Network, window: torch.Tensor) -> torch.Tensor:
    """The output ``[B, L, D]`` that is read out."""
    values = {"input": window}
    for node in network.spec.nodes:
        if node.name == "readout":
            return values[node.inputs[0]]
        inputs = [values[name] for name in node.inputs]
        values[node.name] = (
            torch.stack(inputs).sum(dim=0) if node.op == "add" else network.layers[node.name](inputs[0])
        )
    raise AssertionError


def test_a_bare_skip_is_dropped() -> None:
    genes = list(SPACE.canonical(_drawn(3)))
    genes[SPACE.places["depth"]] = 2
    for k, op in enumerate(("dense", "skip", "gru")):
        genes[SPACE.places[f"op_{k}"]] = LAYER_OPS.index(op)
    ops = [node.op for node in SPACE.decode(genes).nodes if node.name.startswith("layer_")]
    assert ops == ["dense", "gru"]


@pytest.mark.parametrize(
    ("op", "genes"),
    [("conv1d", ("kernel_0",)), ("pooling", ("kernel_0", "pool_0")), ("attention", ("heads_0",))],
)
def test_of_one_bar_kernels_pools_and_heads_are_one_architecture(op: str, genes: tuple[str, ...]) -> None:
    def hashes(lookback: int) -> set[str]:
        genotype = [0] * len(SPACE.decisions)
        genotype[SPACE.places["lookback"]] = lookback
        genotype[SPACE.places["op_0"]] = LAYER_OPS.index(op)
        found = set()
        for values in itertools.product((0, 1), repeat=len(genes)):
            for name, value in zip(genes, values, strict=True):
                genotype[SPACE.places[name]] = value
            found.add(SPACE.decode(genotype).arch_hash)
        return found

    assert len(hashes(0)) == 1
    assert len(hashes(1)) == 2 ** len(genes)


def test_the_horizon_is_part_of_an_architecture() -> None:
    genes = [0] * len(SPACE.decisions)
    near, far = (SearchSpace(features=5, horizon=h) for h in (1, 5))
    assert near.digest() != far.digest()
    assert near.decode(genes).arch_hash != far.decode(genes).arch_hash
    with pytest.raises(ModelError, match="lies outside the space"):
        near.encode(far.decode(genes))


def test_another_schema_is_refused() -> None:
    text = SPACE.decode([0] * len(SPACE.decisions)).to_json().replace('"schema":2', '"schema":1')
    with pytest.raises(ModelError, match="schema 1; this code reads schema 2"):
        ArchSpec.from_json(text)


def test_a_window_of_one_bar_needs_no_readout_of_time() -> None:
    spec = SPACE.decode([0] * len(SPACE.decisions))
    assert spec.lookback == 1
    assert Network(spec)(torch.zeros(3, 1, 5)).shape == (3,)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (
            (Node("project", "project"), Node("score", "score", inputs=("gone",))),
            "reads gone, which does not come",
        ),
        ((Node("project", "project"),), "the last node is project"),
        ((Node("project", "project"), Node("score", "score", inputs=("project",))), "was not read out"),
        ((Node("x", "wavelet"), Node("score", "score", inputs=("x",))), "width 8, not 5"),
        (
            (Node("project", "project"), Node("x", "attention", (("heads", 3),), ("project",))),
            "3 heads do not divide width 8",
        ),
        (
            (Node("project", "project"), Node("x", "wavelet", inputs=("project",))),
            "unknown operation 'wavelet'",
        ),
    ],
)
def test_an_architecture_that_cannot_be_built_is_refused(nodes: tuple[Node, ...], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        Network(ArchSpec(5, 5, 8, nodes))


def test_what_is_no_genotype_is_refused() -> None:
    with pytest.raises(ModelError, match="a genotype of 3 genes"):
        SPACE.decode([0, 0, 0])
    with pytest.raises(ModelError, match="gene lookback = 9"):
        SPACE.decode([9] + [0] * (len(SPACE.decisions) - 1))
    foreign = SearchSpace(features=5, widths=(64,)).decode([0] * len(SPACE.decisions))
    with pytest.raises(ModelError, match="width = 64 lies outside"):
        SPACE.encode(foreign)


def test_the_same_seed_draws_the_same_weights() -> None:
    spec = SPACE.decode(_drawn(5))
    torch.manual_seed(1)
    a = build(spec, 7)
    torch.rand(10)
    b = build(spec, 7)
    for (name, x), (_, y) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert torch.equal(x, y), name
