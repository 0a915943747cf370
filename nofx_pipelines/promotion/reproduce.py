"""Train a registered model again from what was recorded with it, and compare the bytes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nofx_pipelines import plugins
from nofx_pipelines.errors import CodeChanged, ConfigError, ModelError
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.models.families import family
from nofx_pipelines.models.training import Recipe, train_final
from nofx_pipelines.models.window_columns import windowed
from nofx_pipelines.registry.lineage import (
    PACKAGE,
    Lineage,
    libraries,
    package_version,
    require_same_plugins,
    training_code,
)
from nofx_pipelines.registry.tracking import Tracker
from nofx_pipelines.registry.versions import LoadedModel


@dataclass(frozen=True)
class Reproduction:
    """Whether the same rows, parameters and seed gave the same bytes."""

    model: str
    identical: bool
    recorded_sha256: str
    reproduced_sha256: str
    data_versions: dict[str, int]
    changed_libraries: dict[str, tuple[str, str]]
    """Library: version recorded, version here."""
    seconds: float

    def __str__(self) -> str:
        tables = ", ".join(f"{key}@{version}" for key, version in sorted(self.data_versions.items()))
        if self.identical:
            return (
                f"{self.model}: the same weights, byte for byte ({self.recorded_sha256[:12]}) from {tables}"
            )
        moved = ", ".join(f"{n} {old} -> {new}" for n, (old, new) in self.changed_libraries.items())
        why = f" (libraries changed: {moved})" if moved else ""
        return (
            f"{self.model}: other weights, {self.reproduced_sha256[:12]} instead of "
            f"{self.recorded_sha256[:12]}, from {tables}{why}"
        )


def reproduce(tracker: Tracker, lake: Lake, model: str) -> Reproduction:
    """Retrain ``NAME@ALIAS``, ``NAME/VERSION`` or ``NAME`` from its recorded tables, parameters and seed.

    Nothing is registered or written. Raises ModelNotFound, CodeChanged when the training code or a plug-in's
    sources are not the recorded ones, ModelError when the lineage is incomplete, and what the lake raises for
    a version that is gone. The home's plug-ins lie beside the lake.
    """
    began = time.perf_counter()
    loaded = tracker.load(model)
    lineage = Lineage.from_tags(loaded.tags)
    title = f"{loaded.name}/{loaded.version}"
    code, names = _trainer(lineage, _plugins(lake))
    _require_same_code(title, lineage, code)
    if lineage.kind != "policy":  # a team's are compared where it is trained
        require_same_plugins(title, lineage.plugins, _digests(lineage, _plugins(lake)))
    again, recorded = _retrained(lake, loaded, lineage), lineage.libraries or {}
    return Reproduction(
        model=title,
        identical=again == loaded.onnx,
        recorded_sha256=hashlib.sha256(loaded.onnx).hexdigest(),
        reproduced_sha256=hashlib.sha256(again).hexdigest(),
        data_versions=dict(lineage.data_versions),
        changed_libraries={
            name: (recorded.get(name, "unknown"), here)
            for name, here in libraries(names).items()
            if recorded.get(name) != here
        },
        seconds=time.perf_counter() - began,
    )


def _plugins(lake: Lake) -> Path:
    return lake.root.parent / plugins.FOLDER


def _trainer(lineage: Lineage, folder: Path) -> tuple[str, Sequence[str]]:
    """The code that trains such a model here, and the libraries that decide its weights."""
    if lineage.kind == "policy":
        from nofx_pipelines.marl import reproduce as agents

        return agents.training_code(), agents.LIBRARIES
    return training_code(lineage.family, folder), family(lineage.family, folder).libraries


def _retrained(lake: Lake, loaded: LoadedModel, lineage: Lineage) -> bytes:
    """The ONNX of the same training, from the recorded versions of its tables."""
    if lineage.kind == "policy":
        from nofx_pipelines.marl.reproduce import retrained_onnx

        return retrained_onnx(lake, lineage)
    training_set, folds = (
        lake.table(lineage.universe, name).scan(version=_version(lineage, name)).collect()
        for name in ("training_set", "folds")
    )
    past = lineage.data_versions.get(f"{lineage.universe}/features")
    rows = windowed(lake, lineage.universe, training_set, loaded.feature_names, version=past)
    recipe = Recipe(lineage.family, lineage.params, lineage.seed, _plugins(lake))
    return train_final(rows, folds, recipe).to_onnx()


def _require_same_code(title: str, lineage: Lineage, here: str) -> None:
    if lineage.training_code == here:
        return
    recorded = lineage.nofx_version or "0.1.0 or before"
    raise CodeChanged(
        f"{title} was trained by code {lineage.training_code} of {PACKAGE} {recorded}, "
        f"this is code {here} of {PACKAGE} {package_version()}",
        kept="nothing was trained",
        hint=f"reproduce it with {PACKAGE} {recorded}, or run nofx run for a new version",
    )


def _digests(lineage: Lineage, folder: Path) -> dict[str, str]:
    """Here and now, of the family and of the other plug-ins that the model's lineage names."""
    family = plugins.find("families", lineage.family, folder)
    recorded = [member.partition(" ") for member in lineage.plugins]
    # of a record without a kind nothing is known here, and the comparison says so
    others = [_member(kind, name, folder) for kind, _, name in recorded if kind in ("features", "labels")]
    return plugins.plugin_digests([family, *others])


def _member(kind: str, name: str, folder: Path) -> plugins.Reference:
    try:
        return plugins.find(kind, name, folder)
    except ConfigError as error:
        raise ConfigError(
            f"the model's rows were made with plug-in {name!r}, which is neither in {folder} nor installed",
            kept="nothing was trained",
            hint="put its file back, or run nofx run for a new version",
        ) from error


def _version(lineage: Lineage, table: str) -> int:
    key = f"{lineage.universe}/{table}"
    if key not in lineage.data_versions:
        raise ModelError(f"the model's lineage names no version of {key}", hint="nofx run")
    return int(lineage.data_versions[key])
