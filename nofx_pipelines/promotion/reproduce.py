"""Train a registered model again from what was recorded with it, and compare the bytes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from nofx_pipelines.errors import CodeChanged, ModelError
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.models.training import train_final
from nofx_pipelines.models.window_columns import windowed
from nofx_pipelines.registry.lineage import Lineage, libraries, training_code
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

    Nothing is registered or written. Raises ModelNotFound, CodeChanged when the training code is not the
    recorded one, ModelError when the lineage is incomplete, and what the lake raises for a version that is
    gone.
    """
    began = time.perf_counter()
    loaded = tracker.load(model)
    lineage = Lineage.from_tags(loaded.tags)
    title = f"{loaded.name}/{loaded.version}"
    code, names = _trainer(lineage)
    _require_same_code(title, lineage, code)
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


def _trainer(lineage: Lineage) -> tuple[str, Sequence[str]]:
    """The code that trains such a model here, and the libraries that decide its weights."""
    if lineage.kind == "policy":
        from nofx_pipelines.marl import reproduce as agents

        return agents.training_code(), agents.LIBRARIES
    return training_code(), tuple(libraries())


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
    trained = train_final(
        windowed(lake, lineage.universe, training_set, loaded.feature_names, version=past),
        folds,
        family=lineage.family,
        params=lineage.params,
        seed=lineage.seed,
    )
    return trained.to_onnx()


def _require_same_code(title: str, lineage: Lineage, here: str) -> None:
    if lineage.training_code != here:
        raise CodeChanged(
            f"{title} was trained by code {lineage.training_code}, this is code {here}",
            kept="nothing was trained",
            hint="check out the release that registered it, or run nofx run for a new version",
        )


def _version(lineage: Lineage, table: str) -> int:
    key = f"{lineage.universe}/{table}"
    if key not in lineage.data_versions:
        raise ModelError(f"the model's lineage names no version of {key}", hint="nofx run")
    return int(lineage.data_versions[key])
