"""Opening a member of any kind as a run opens it, without computing anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nofx_pipelines.config import GateConfig
from nofx_pipelines.plugins import Reference


def open_member(reference: Reference) -> None:
    """Load the member and check that it has what its kind asks for.

    Raises:
        PluginError: where it does not import, or lacks a part of its kind's protocol.
    """
    with reference.guard("opening it"):
        _OPENERS[reference.kind.name](reference)


def _features(reference: Reference) -> None:
    from nofx_pipelines.features.sets.registry import feature_set

    feature_set(reference.name, folder=reference.folder)


def _source(reference: Reference) -> None:
    reference.require(reference.load(), "open(config, *, market, freq, start, end, now)")


def _format(reference: Reference) -> None:
    from nofx_pipelines.market.sources.files.formats import load_formats

    load_formats([reference.name], reference.folder)


def _label(reference: Reference) -> None:
    from nofx_pipelines.labels.kinds import use_label

    use_label(reference.name, reference.folder)


def _detector(reference: Reference) -> None:
    from nofx_pipelines.anomaly.detectors.registry import load_detectors

    load_detectors([reference.name], reference.folder)


def _family(reference: Reference) -> None:
    from nofx_pipelines.models.families import family

    family(reference.name, reference.folder)


def _sampler(reference: Reference) -> None:
    from nofx_pipelines.search.samplers import sampler

    sampler(reference.name, reference.folder)


def _strategy(reference: Reference) -> None:
    from nofx_pipelines.nas.strategies import strategy

    strategy(reference.name, reference.folder)


def _algorithm(reference: Reference) -> None:
    from nofx_pipelines.marl.algorithms import algorithm

    algorithm(reference.name, reference.folder)


def _role(reference: Reference) -> None:
    from nofx_pipelines.marl.roles.opening import open_role

    open_role(reference)


def _task(reference: Reference) -> None:
    from nofx_pipelines.marl.tasks import task

    task(reference.name, reference.folder)


def _reward(reference: Reference) -> None:
    from nofx_pipelines.marl.rewards import rewards

    rewards([reference.name], reference.folder)


def _gate(reference: Reference) -> None:
    from nofx_pipelines.promotion.gates import use_gates

    use_gates(GateConfig(use=(reference.name,)), reference.folder)


_OPENERS: Mapping[str, Callable[[Reference], Any]] = {
    "features": _features,
    "sources": _source,
    "formats": _format,
    "labels": _label,
    "detectors": _detector,
    "families": _family,
    "samplers": _sampler,
    "strategies": _strategy,
    "algorithms": _algorithm,
    "roles": _role,
    "tasks": _task,
    "rewards": _reward,
    "gates": _gate,
}
