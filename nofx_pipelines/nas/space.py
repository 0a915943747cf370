"""The space that is searched: ordered finite decisions, some of which count only when others were taken.

A genotype is one integer a decision. ``decode`` turns it into an architecture and nothing else does, so every
strategy searches the same space and what was stored can always be built again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nofx_pipelines.errors import ModelError
from nofx_pipelines.models.networks.spec import ACTIVATIONS, ArchSpec, Node, sorted_params

Genotype = tuple[int, ...]
Choices = dict[str, Any]

LAYER_OPS = ("dense", "conv1d", "lstm", "gru", "attention", "transformer", "pooling", "skip")


@dataclass(frozen=True)
class Decision:
    """One gene: its name, its values and, given all choices, whether it counts."""

    name: str
    values: tuple[Any, ...]
    active: Callable[[Choices], bool] = lambda _: True


@dataclass(frozen=True)
class SearchSpace:
    """Windows of ``lookbacks`` bars, ``widths`` columns and up to ``depth`` layers."""

    features: int
    lookbacks: tuple[int, ...] = (1, 5, 10)
    widths: tuple[int, ...] = (8, 16, 32)
    depth: int = 4
    horizon: int = 1
    """Bars ahead that a score is for."""

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The genes, in order."""
        common = (
            Decision("lookback", self.lookbacks),
            Decision("width", self.widths),
            Decision("depth", tuple(range(1, self.depth + 1))),
            Decision("readout", ("last", "mean"), lambda c: c["lookback"] > 1),
        )
        return common + tuple(gene for k in range(self.depth) for gene in _layer_genes(k))

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each gene stands."""
        return {decision.name: place for place, decision in enumerate(self.decisions)}

    def digest(self) -> str:
        """Hash of the genes and their values."""
        genes = [(d.name, list(d.values)) for d in self.decisions] + [
            ("features", [self.features]),
            ("horizon", [self.horizon]),
        ]
        return hashlib.sha256(json.dumps(genes).encode()).hexdigest()[:16]

    def choices(self, genotype: Sequence[int]) -> Choices:
        """The value of every gene by name; raises ModelError for what is no genotype of this space."""
        if len(genotype) != len(self.decisions):
            raise ModelError(
                f"a genotype of {len(genotype)} genes; this space has {len(self.decisions)}",
                kept="nothing was built",
            )
        for gene, decision in zip(genotype, self.decisions, strict=True):
            if not 0 <= gene < len(decision.values):
                raise ModelError(
                    f"gene {decision.name} = {gene} is not one of 0 to {len(decision.values) - 1}",
                    kept="nothing was built",
                )
        return {d.name: d.values[gene] for gene, d in zip(genotype, self.decisions, strict=True)}

    def active(self, genotype: Sequence[int]) -> list[int]:
        """The places of the genes that count."""
        values = self.choices(genotype)
        return [place for place, decision in enumerate(self.decisions) if decision.active(values)]

    def canonical(self, genotype: Sequence[int]) -> Genotype:
        """The same architecture's own genotype: genes that do not count are 0.

        What becomes inactive may make others so; layers that only pass on are dropped.
        """
        whole = self._without_skips(tuple(int(gene) for gene in genotype))
        active = set(self.active(whole))
        return tuple(gene if place in active else 0 for place, gene in enumerate(whole))

    def decode(self, genotype: Sequence[int]) -> ArchSpec:
        """The architecture of a genotype; two genotypes of one architecture give equal specs."""
        values = self.choices(self.canonical(genotype))
        return ArchSpec(
            lookback=values["lookback"],
            features=self.features,
            width=values["width"],
            nodes=tuple(_nodes(values)),
            horizon=self.horizon,
        )

    def encode(self, spec: ArchSpec) -> Genotype:
        """The canonical genotype of an architecture of this space; raises ModelError for any other."""
        genotype = [0] * len(self.decisions)

        def put(name: str, value: Any) -> None:
            decision = self.decisions[self.places[name]]
            if value not in decision.values:
                raise ModelError(f"{name} = {value!r} lies outside the space", kept="nothing was encoded")
            genotype[self.places[name]] = decision.values.index(value)

        put("lookback", spec.lookback)
        put("width", spec.width)
        layers = _layers_of(spec)
        put("depth", len(layers))
        if spec.lookback > 1:
            put("readout", next(node.op for node in spec.nodes if node.op in ("last", "mean")))
        for k, layer in enumerate(layers):
            for name, value in layer.items():
                put(f"{name}_{k}", value)
        canonical = self.canonical(genotype)
        if self.decode(canonical) != spec:
            raise ModelError("this architecture lies outside the space", kept="nothing was encoded")
        return canonical

    def random(self, rng: np.random.Generator) -> Genotype:
        """A genotype with every gene drawn evenly, canonical."""
        return self.canonical([int(rng.integers(len(d.values))) for d in self.decisions])

    def _without_skips(self, genotype: Genotype) -> Genotype:
        """Layers that are a bare skip are taken out, unless no other is left."""
        values = self.choices(genotype)
        layers = [k for k in range(values["depth"]) if values[f"op_{k}"] != "skip"] or [0]
        if len(layers) == values["depth"]:
            return genotype
        genes = list(genotype)
        names = _LAYER_NAMES
        for to, source in enumerate(layers):
            for name in names:
                genes[self.places[f"{name}_{to}"]] = genotype[self.places[f"{name}_{source}"]]
        for k in range(len(layers), self.depth):
            for name in names:
                genes[self.places[f"{name}_{k}"]] = 0
        genes[self.places["depth"]] = len(layers) - 1
        return tuple(genes)


_LAYER_NAMES = ("op", "kernel", "heads", "pool", "norm", "activation", "dropout", "residual")


def _layer_genes(k: int) -> tuple[Decision, ...]:
    def is_there(c: Choices) -> bool:
        return bool(k < c["depth"])

    def works(c: Choices) -> bool:
        return is_there(c) and c[f"op_{k}"] != "skip"

    def over_time(*ops: str) -> Callable[[Choices], bool]:
        """Of one bar, a kernel has one tap, a pool one value and every head the same weight: 1."""
        return lambda c: is_there(c) and c[f"op_{k}"] in ops and c["lookback"] > 1

    return (
        Decision(f"op_{k}", LAYER_OPS, is_there),
        Decision(f"kernel_{k}", (3, 5), over_time("conv1d", "pooling")),
        Decision(f"heads_{k}", (1, 2), over_time("attention", "transformer")),
        Decision(f"pool_{k}", ("mean", "max"), over_time("pooling")),
        Decision(f"norm_{k}", ("none", "batch", "layer"), works),
        Decision(f"activation_{k}", ACTIVATIONS, works),
        Decision(f"dropout_{k}", (0.0, 0.1, 0.3), works),
        Decision(f"residual_{k}", (False, True), works),
    )


def _nodes(chosen: Choices) -> Iterator[Node]:
    yield Node("project", "project")
    last = "project"
    for k in range(chosen["depth"]):
        for node in _layer_nodes(k, last, {name: chosen[f"{name}_{k}"] for name in _LAYER_NAMES}):
            yield node
            last = node.name
    if chosen["lookback"] > 1:
        yield Node("readout", chosen["readout"], inputs=(last,))
        last = "readout"
    else:
        yield Node("readout", "last", inputs=(last,))
        last = "readout"
    yield Node("score", "score", inputs=(last,))


def _layer_nodes(k: int, before: str, layer: Choices) -> Iterator[Node]:
    """Operation, norm, activation, dropout and the way around them."""
    if layer["op"] == "skip":
        return
    params_of = {
        "conv1d": ("kernel",),
        "pooling": ("kernel", "pool"),
        "attention": ("heads",),
        "transformer": ("heads",),
    }
    params = {name: layer[name] for name in params_of.get(layer["op"], ())}
    chain = [Node(f"layer_{k}", layer["op"], sorted_params(params), (before,))]
    if layer["norm"] != "none":
        chain.append(Node(f"norm_{k}", f"{layer['norm']}_norm", inputs=(chain[-1].name,)))
    chain.append(Node(f"activation_{k}", layer["activation"], inputs=(chain[-1].name,)))
    if layer["dropout"] > 0:
        chain.append(Node(f"dropout_{k}", "dropout", (("p", layer["dropout"]),), (chain[-1].name,)))
    if layer["residual"]:
        chain.append(Node(f"add_{k}", "add", inputs=tuple(sorted((before, chain[-1].name)))))
    yield from chain


def _layers_of(spec: ArchSpec) -> list[Choices]:
    """What each layer of an architecture was decided to be."""
    layers: list[Choices] = []
    for node in spec.nodes:
        head, _, number = node.name.partition("_")
        if not number:
            continue
        if head == "layer":
            layers.append({"op": node.op, **dict(node.params)})
        elif head == "norm":
            layers[-1]["norm"] = node.op.removesuffix("_norm")
        elif head == "activation":
            layers[-1]["activation"] = node.op
        elif head == "dropout":
            layers[-1]["dropout"] = node.get("p")
        elif head == "add":
            layers[-1]["residual"] = True
    return layers or [{"op": "skip"}]
