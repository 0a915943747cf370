"""What a registered model carries about where it came from, as tags."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nofx_pipelines
from nofx_pipelines.code_version import code_version
from nofx_pipelines.errors import CodeChanged, ModelError
from nofx_pipelines.models.families import family
from nofx_pipelines.plugins import find

PREFIX = "nofx."
PACKAGE = "nofx-pipelines"
_TRAINING_MODULES = (
    "nofx_pipelines.models.training",
    "nofx_pipelines.models.onnx_graph",
    "nofx_pipelines.models.window_columns",
)
"""Of every family; each one's own module comes on top."""
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
"""What a model cannot be trained again without."""


def package_version() -> str:
    """The version of this package's code, whatever an installation's records say."""
    return nofx_pipelines.__version__


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
    """Empty: that of a built-in family, here and now."""
    libraries: Mapping[str, str] | None = None
    """None: those of a built-in family, here and now."""
    plugins: Mapping[str, str] = field(default_factory=dict)
    """Plug-ins that rows or weights come from, by the name that ``nofx.toml`` gives them: their digest."""
    nofx_version: str | None = field(default_factory=package_version)
    """The version of this package; None where none was recorded: 0.1.0 or before."""

    def tags(self) -> dict[str, str]:
        """The tags of a run and of a registered version."""
        tags = {
            "universe": self.universe,
            "family": self.family,
            "kind": self.kind,
            "params": _json(self.params),
            "seed": str(self.seed),
            "data_versions": _json(self.data_versions),
            "code_version": self.code_version,
            "dagster_run_id": self.run_id,
            "training_code": self.training_code or training_code(self.family),
            "libraries": _json(self.libraries or libraries(family(self.family).libraries)),
        }
        if self.plugins:
            tags["plugins"] = _json(self.plugins)
        if self.nofx_version is not None:
            tags["nofx_version"] = self.nofx_version
        return {f"{PREFIX}{name}": value for name, value in tags.items()}

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
            plugins=json.loads(tags.get(f"{PREFIX}plugins", "{}")),
            nofx_version=tags.get(f"{PREFIX}nofx_version"),
        )


def training_code(name: str, folder: Path | None = None) -> str:
    """The hash of our sources that decide the weights of a family's models.

    A plug-in's own sources are not in it: their digest is recorded beside it (`plugins.plugin_digests`).
    """
    member = find("families", name, folder)
    own = [member.module] if member.origin == "built-in" else []
    return code_version([*_TRAINING_MODULES, *own])


def libraries(names: Sequence[str]) -> dict[str, str]:
    """The installed versions of distributions."""
    return {name: version(name) for name in names}


def require_same_plugins(title: str, recorded: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Refuse to train ``title`` again by other plug-ins than those that were recorded with it.

    Parameters
    ----------
    title
        How the message names the model.
    recorded, here
        Digests of sources by kind and name, then and now.

    Raises
    ------
    CodeChanged
        For the first plug-in, by name, whose sources differ or that only one of the two has.
    """
    for name in sorted({*recorded, *here}):
        then, now = (digests.get(name, "unknown") for digests in (recorded, here))
        if then != now:
            raise CodeChanged(
                f"{title} was trained by plug-in {name!r} with sources {then}, here they are {now}",
                kept="nothing was trained",
                hint="put its file back as it was, or run nofx run for a new version",
            )


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), sort_keys=True)
