"""What a registered model carries about where it came from, as tags."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nofx_pipelines.code_version import code_version
from nofx_pipelines.errors import ModelError

PREFIX = "nofx."
_TRAINING_MODULES = (
    "nofx_pipelines.models.training",
    "nofx_pipelines.models.onnx_graph",
    "nofx_pipelines.models.window_columns",
)
_TAGS = (
    "universe",
    "family",
    "kind",
    "params",
    "seed",
    "data_versions",
    "code_version",
    "dagster_run_id",
    "training_code",
    "libraries",
)
_LIBRARIES = ("lightgbm", "numpy", "onnx", "torch")


@dataclass(frozen=True)
class Lineage:
    """Everything that trains the same model again, and who trained it.

    ``data_versions``: table key (``cn/training_set``) to table version. ``code_version`` is the stage's;
    ``training_code`` the hash of the sources that turn rows and parameters into ONNX.
    """

    universe: str
    family: str
    kind: str
    """``baseline``, ``candidate`` or ``policy``."""
    params: Mapping[str, Any]
    seed: int
    data_versions: Mapping[str, int]
    code_version: str
    run_id: str
    """The Dagster run."""
    training_code: str = ""
    libraries: Mapping[str, str] | None = None

    def tags(self) -> dict[str, str]:
        """The tags of a run and of a registered version."""
        found = {
            "universe": self.universe,
            "family": self.family,
            "kind": self.kind,
            "params": json.dumps(dict(self.params), sort_keys=True),
            "seed": str(self.seed),
            "data_versions": json.dumps(dict(self.data_versions), sort_keys=True),
            "code_version": self.code_version,
            "dagster_run_id": self.run_id,
            "training_code": self.training_code or training_code(),
            "libraries": json.dumps(dict(self.libraries or libraries()), sort_keys=True),
        }
        return {f"{PREFIX}{name}": value for name, value in found.items()}

    @staticmethod
    def from_tags(tags: Mapping[str, str]) -> Lineage:
        """Read what :meth:`tags` wrote; raises ModelError when a tag is missing."""
        missing = [name for name in _TAGS if f"{PREFIX}{name}" not in tags]
        if missing:
            raise ModelError(
                f"the model has no tag {', '.join(PREFIX + name for name in missing)}",
                kept="the registry is untouched",
                hint="register it with nofx run, which records its lineage",
            )
        text = {name: tags[f"{PREFIX}{name}"] for name in _TAGS}
        return Lineage(
            universe=text["universe"],
            family=text["family"],
            kind=text["kind"],
            params=json.loads(text["params"]),
            seed=int(text["seed"]),
            data_versions=json.loads(text["data_versions"]),
            code_version=text["code_version"],
            run_id=text["dagster_run_id"],
            training_code=text["training_code"],
            libraries=json.loads(text["libraries"]),
        )


def training_code() -> str:
    """The hash of the sources that decide a model's weights."""
    return code_version(_TRAINING_MODULES)


def libraries(names: Sequence[str] = _LIBRARIES) -> dict[str, str]:
    """Versions of the libraries that decide a model's weights."""
    from importlib.metadata import version

    return {name: version(name) for name in names}
