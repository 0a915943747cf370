"""Registered models: written as ONNX with what trains them again beside it, read as ONNX and nothing else."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlparse

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.errors import IntegrityError, ModelError, ModelNotFound
from nofx_pipelines.lake.schemas import UTC_US
from nofx_pipelines.models.onnx_graph import INPUT, OUTPUT
from nofx_pipelines.registry.lineage import PREFIX
from nofx_pipelines.registry.onnx_scorer import OnnxScorer

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from nofx_pipelines.lake.table import LakeTable

DIGEST_TAG = f"{PREFIX}onnx_sha256"
_REFERENCE = re.compile(r"^(?:models:/)?(?P<name>[^@/]+)(?:@(?P<alias>[^@/]+)|/(?P<version>[0-9]+))?$")


class Scorer(Protocol):
    """A loaded model: maps features ``[N, F]`` (NaN: unknown) to scores ``[N]``."""

    @property
    def feature_names(self) -> Sequence[str]: ...

    def predict(self, x: NDArray[Any]) -> NDArray[Any]: ...


@dataclass(frozen=True)
class NamedModel:
    """A loaded model with the name and version it is registered under."""

    name: str
    version: str
    scorer: Scorer


@dataclass(frozen=True)
class LoadedModel(NamedModel):
    """A registered version, ready to score."""

    run_id: str
    tags: Mapping[str, str]
    onnx: bytes

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns that :meth:`predict` takes, in order."""
        return tuple(self.scorer.feature_names)

    def predict(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Scores ``[N]`` for raw features ``[N, F]``; NaN is a feature that is not known."""
        return np.asarray(self.scorer.predict(x), dtype=np.float64)


def register_onnx(
    client: MlflowClient,
    name: str,
    onnx: bytes,
    *,
    run_id: str,
    feature_names: Sequence[str],
    example: NDArray[Any],
    tags: Mapping[str, str],
    files: Mapping[str, bytes],
    after: int | None = None,
) -> str:
    """Log ``onnx`` with signature and input example to a run, and register it as the next version.

    With ``after``, a later version of the same bytes and lineage, which a killed run left, is taken instead.
    """
    double = np.dtype("float64")
    described = _Described(
        inputs={INPUT: (double, (-1, len(feature_names)))},
        outputs={OUTPUT: (double, (-1,))},
        example={INPUT: np.nan_to_num(np.asarray(example, dtype=np.float64))},
        metadata={"feature_names": list(feature_names)},
    )
    return _register(client, name, onnx, described, run_id=run_id, tags=tags, files=files, after=after)


def register_network(
    client: MlflowClient,
    name: str,
    onnx: bytes,
    *,
    run_id: str,
    example: Mapping[str, NDArray[Any]],
    output: Mapping[str, NDArray[Any]],
    tags: Mapping[str, str],
    files: Mapping[str, bytes],
    after: int | None = None,
) -> str:
    """Log ``onnx`` with tensors like the arrays given, batch first, and register it as the next version.

    With ``after``, a later version of the same bytes and lineage, which a killed run left, is taken instead.
    """
    described = _Described(
        inputs={key: (value.dtype, (-1, *value.shape[1:])) for key, value in example.items()},
        outputs={key: (value.dtype, (-1, *value.shape[1:])) for key, value in output.items()},
        example=dict(example),
        metadata={},
    )
    return _register(client, name, onnx, described, run_id=run_id, tags=tags, files=files, after=after)


@dataclass(frozen=True)
class _Described:
    """A model's tensors, by name: dtype and shape, -1 for the batch; an example; what else is told."""

    inputs: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]
    outputs: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]
    example: Mapping[str, NDArray[Any]]
    metadata: dict[str, Any]


def _register(
    client: MlflowClient,
    name: str,
    onnx: bytes,
    described: _Described,
    *,
    run_id: str,
    tags: Mapping[str, str],
    files: Mapping[str, bytes],
    after: int | None,
) -> str:
    digest = hashlib.sha256(onnx).hexdigest()
    left = None if after is None else _left_behind(client, name, {**tags, DIGEST_TAG: digest}, after)
    if left is not None:
        return left
    place = f"model-{digest[:12]}"  # a run may register several
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / place
        _write_model(path, onnx, described)
        for file, content in files.items():
            (path / file).write_bytes(content)
        client.log_artifacts(run_id, str(path), place)
    _ensure_model(client, name)
    source = f"{client.get_run(run_id).info.artifact_uri}/{place}"
    made = client.create_model_version(name, source, run_id, tags={**tags, DIGEST_TAG: digest})
    return str(made.version)


def _left_behind(client: MlflowClient, name: str, tags: Mapping[str, str], after: int) -> str | None:
    """The newest version after ``after`` with these tags, the Dagster run aside: no table came to name it."""
    asked = {key: value for key, value in tags.items() if key != f"{PREFIX}dagster_run_id"}
    later = (found for found in all_versions(client, name) if int(found.version) > after)
    same = [found for found in later if asked.items() <= dict(found.tags).items()]
    return str(same[-1].version) if same else None


def _write_model(path: Path, onnx: bytes, described: _Described) -> None:
    """An MLflow model folder whose only flavour is ONNX (with the pyfunc that wraps it)."""
    import mlflow.onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec
    from onnx import load_from_string

    inputs, outputs = (
        Schema([TensorSpec(dtype, shape, key) for key, (dtype, shape) in tensors.items()])
        for tensors in (described.inputs, described.outputs)
    )
    mlflow.onnx.save_model(
        load_from_string(onnx),
        str(path),
        signature=ModelSignature(inputs, outputs),
        input_example=dict(described.example),
        # named here, or MLflow starts a process that loads the model to find out
        pip_requirements=[f"{package}=={installed(package)}" for package in ("onnx", "onnxruntime", "numpy")],
        onnx_execution_providers=["CPUExecutionProvider"],
        metadata=described.metadata,
        save_as_external_data=False,
    )
    (path / "model.onnx").write_bytes(onnx)  # MLflow serialises again; these bytes are the registered ones


def _ensure_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def newest_version(board: LakeTable) -> int:
    """The newest version that a leaderboard names in its column ``version``; 0 where there is no row."""
    if not board.exists():
        return 0
    return board.scan().select(pl.col("version").cast(pl.Int64).max()).collect().item() or 0


def find_version(client: MlflowClient, model: str) -> ModelVersion:
    """The version that ``NAME@ALIAS``, ``NAME/VERSION`` or ``NAME`` means; raises ModelNotFound."""
    match = _REFERENCE.match(model)
    if match is None:
        raise ModelNotFound(f"{model!r} names no model", hint="write NAME, NAME@ALIAS or NAME/VERSION")
    name, alias, version = match["name"], match["alias"], match["version"]
    versions = {int(found.version): found for found in all_versions(client, name)}
    if not versions:
        known = sorted({found.name for found in all_versions(client)})
        raise ModelNotFound(
            f"no model {name!r} is registered (known: {', '.join(known) or 'none'})",
            hint="nofx models lists what is registered, nofx run trains",
        )
    if alias is not None:
        found = version_by_alias(client, name, alias)
        if found is None:
            raise ModelNotFound(f"no version of {name} has the alias @{alias}", hint="nofx models")
        return found
    number = max(versions) if version is None else int(version)
    if number not in versions:
        raise ModelNotFound(
            f"{name} has no version {number} (it has {min(versions)} to {max(versions)})", hint="nofx models"
        )
    return versions[number]


def version_by_alias(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version that carries ``alias``, None when nobody does or the model is unknown."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
            return None
        raise


def all_versions(client: MlflowClient, name: str | None = None) -> list[ModelVersion]:
    """Registered versions, of all models or of one, by name and number."""
    where = None if name is None else "name = '{}'".format(name.replace("'", "''"))
    found: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(where, max_results=1_000, page_token=token)
        found += [version for version in page if name is None or version.name == name]
        token = page.token
        if not token:
            return sorted(found, key=lambda version: (version.name, int(version.version)))


def load_onnx(client: MlflowClient, artifacts: Path, found: ModelVersion) -> LoadedModel:
    """Read a version's ONNX from ``artifacts``; nothing else in its folder is opened but ``MLmodel``.

    Raises ModelError for any other flavour, IntegrityError when the bytes are not the registered ones.
    """
    from mlflow.models import Model

    title = f"{found.name} version {found.version}"
    folder = _local_folder(found.source or "", artifacts)
    if not (folder / "MLmodel").is_file():
        raise ModelError(
            f"the files of {title} are gone from {folder}", hint="nofx reproduce, or register it again"
        )
    described = Model.load(str(folder)).flavors
    flavours, wrapper = set(described), described.get("python_function", {}).get("loader_module")
    if not flavours <= {"onnx", "python_function"} or "onnx" not in flavours or wrapper != "mlflow.onnx":
        raise ModelError(
            f"{title} has the flavours {', '.join(sorted(flavours)) or 'none'}: only onnx is ever loaded",
            kept="nothing was read",
            hint="export the model to ONNX and register that",
        )
    content = (folder / "model.onnx").read_bytes()
    digest, expected = hashlib.sha256(content).hexdigest(), found.tags.get(DIGEST_TAG)
    if expected is not None and digest != expected:
        raise IntegrityError(
            f"model.onnx of {title} has SHA-256 {digest[:12]}…, registered was {expected[:12]}…",
            kept=f"the file stays at {folder}",
            hint=f"nofx reproduce {found.name}/{found.version}",
        )
    return LoadedModel(
        name=found.name,
        version=str(found.version),
        scorer=OnnxScorer(content),
        run_id=found.run_id or "",
        tags=dict(found.tags),
        onnx=content,
    )


def _local_folder(source: str, artifacts: Path) -> Path:
    """Where a version's files lie now: a home may have been moved since it was registered."""
    path = unquote(urlparse(source).path)
    head, _, tail = path.rpartition("/mlflow/artifacts/")
    inside = (artifacts / tail).resolve()
    if not head or not inside.is_relative_to(artifacts.resolve()):
        raise ModelError(f"a model at {source!r} lies outside {artifacts}", hint="register it with nofx run")
    return inside


def version_table(client: MlflowClient) -> pl.DataFrame:
    """One row a version: name, version, aliases, kind, family, a column a metric, code and data versions."""
    records: list[dict[str, Any]] = []
    metrics: set[str] = set()
    aliases = {model.name: dict(model.aliases) for model in client.search_registered_models()}
    for found in all_versions(client):
        measured = client.get_run(found.run_id).data.metrics if found.run_id else {}
        metrics |= set(measured)
        own = [
            name
            for name, version in aliases.get(found.name, {}).items()
            if str(version) == str(found.version)
        ]
        described = {name: found.tags.get(f"{PREFIX}{name}") for name in ("kind", "family")}
        origin = {name: found.tags.get(f"{PREFIX}{name}") for name in ("code_version", "data_versions")}
        registered = datetime.fromtimestamp(found.creation_timestamp / 1_000, UTC)
        records.append(
            {"name": found.name, "version": str(found.version), "aliases": ", ".join(sorted(own))}
            | described | measured | origin | {"registered": registered}
        )  # fmt: skip
    schema: dict[str, Any] = dict.fromkeys(("name", "version", "aliases", "kind", "family"), pl.String)
    schema |= dict.fromkeys(sorted(metrics), pl.Float64)
    schema |= {"code_version": pl.String, "data_versions": pl.String, "registered": UTC_US}
    return pl.DataFrame([{name: record.get(name) for name in schema} for record in records], schema=schema)
