"""The families that take members, and the built-in members of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Kind:
    """A family of members."""

    name: str
    what: str
    """One member, in a sentence."""
    folder: str
    """Inside this package."""
    attribute: str
    """What a member's file assigns."""
    key: str
    """Where ``nofx.toml`` names members."""
    aliases: Mapping[str, str]


def _kind(name: str, what: str, folder: str, attribute: str, key: str, **aliases: str) -> Kind:
    return Kind(name, what, folder, attribute, key, aliases)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _kind("features", "feature set", "features/sets", "FEATURES", "[universes.X] features"),
        _kind("sources", "source", "market/sources", "SOURCE", "[markets.M.FREQ] sources: kind"),
        _kind(
            "formats", "format", "market/sources/files/formats", "FORMAT", "[markets.M.FREQ] sources: formats"
        ),
        _kind("labels", "label", "labels/kinds", "LABEL", "[universes.X.labels] kind"),
        _kind("detectors", "detector", "anomaly/detectors", "DETECTOR", "[universes.X.anomaly] detectors"),
        _kind(
            "families",
            "model family",
            "models/families",
            "FAMILY",
            "[universes.X] families",
            lightgbm="gbdt",
        ),
        _kind("samplers", "sampler", "search/samplers", "SAMPLER", "[universes.X.search] sampler"),
        _kind("strategies", "search strategy", "nas/strategies", "STRATEGY", "[universes.X.nas] strategy"),
        _kind(
            "algorithms", "agent algorithm", "marl/algorithms", "ALGORITHM", "[universes.X.marl] algorithm"
        ),
        _kind("roles", "role", "marl/roles", "ROLE", "[universes.X.marl] roles"),
        _kind("tasks", "task", "marl/tasks", "TASK", "[universes.X.marl] task"),
        _kind("rewards", "reward", "marl/rewards", "REWARD", "[universes.X.marl] rewards"),
        _kind("gates", "gate", "promotion/gates", "GATE", "[universes.X.gates] use"),
    )
}
"""Every family by its name."""


@cache
def builtin_names(kind: str) -> tuple[str, ...]:
    """The built-in members of a family: the files of its folder that assign its attribute.

    >>> {"evolution", "random", "tpe"} <= set(builtin_names("strategies"))
    True
    """
    of = KINDS[kind]
    assigns = re.compile(rf"^{of.attribute}\b\s*(?::[^=\n]+)?=", re.MULTILINE)
    folder = _ROOT / of.folder
    files = [*folder.glob("*.py"), *folder.glob("*/__init__.py")]
    texts = {file: file.read_text(encoding="utf-8") for file in files if file != folder / "__init__.py"}
    return tuple(
        sorted(
            file.parent.name if file.name == "__init__.py" else file.stem
            for file, text in texts.items()
            if assigns.search(text)
        )
    )
