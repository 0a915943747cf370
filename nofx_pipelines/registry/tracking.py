"""MLflow under a home: runs, logged trials and the model registry, in SQLite, without a server or network.

The database lies at ``home/mlflow/mlflow.db``, artifacts under ``home/mlflow/artifacts``. MLflow's own global
state (tracking URI, active run) is never set: everything goes through clients of ours.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.file_lock import file_lock
from nofx_pipelines.home_path import checked_path
from nofx_pipelines.registry.lineage import Lineage
from nofx_pipelines.storage import is_writable

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from nofx_pipelines.models.family import FittedModel
    from nofx_pipelines.registry.versions import LoadedModel

_ENVIRONMENT = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
_OPEN_LIMIT_S = 600.0
_METRICS_A_CALL = 1_000  # MLflow's limit


@dataclass(frozen=True)
class TrackedRun:
    """An MLflow run that is open; closed by :meth:`Tracker.run`."""

    client: MlflowClient
    run_id: str
    started_ms: int

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters in one call; the first value of a name stays."""
        from mlflow.entities import Param

        entries = [Param(name, str(value)) for name, value in params.items()]
        self.client.log_batch(self.run_id, params=entries)

    def log_metrics(self, metrics: Mapping[str, float | None], *, step: int = 0) -> None:
        """Log the metrics that are known, in one call."""
        from mlflow.entities import Metric

        known = [
            Metric(name, float(value), self.started_ms, step)
            for name, value in metrics.items()
            if value is not None
        ]
        self.client.log_batch(self.run_id, metrics=known)

    def log_file(self, name: str, content: bytes) -> None:
        """Keep ``content`` as the artifact ``name`` (a path without ``..``)."""
        import tempfile

        path = Path(name)
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / path.name
            local.write_bytes(content)
            self.client.log_artifact(self.run_id, str(local), str(path.parent) if path.parent.name else None)

    def log_trials(self, trials: pl.DataFrame, names: tuple[str, str] = ("rank_ic", "turnover")) -> None:
        """Log a study's trials as metrics by trial number, in few calls, with the table as an artifact.

        ``trials``: rows of HPO_TRIALS or NAS_TRIALS. Metrics: the first two values, called ``names``, of
        complete trials, and seconds of all.
        """
        from mlflow.entities import Metric

        metrics = []
        for number, values, seconds in trials.select("trial", "values", "seconds").iter_rows():
            named = {"trial_seconds": seconds}
            if values is not None:
                named |= {f"trial_{name}": value for name, value in zip(names, values, strict=False)}
            metrics += [Metric(k, v, self.started_ms, number) for k, v in named.items() if v is not None]
        for first in range(0, len(metrics), _METRICS_A_CALL):
            self.client.log_batch(self.run_id, metrics=metrics[first : first + _METRICS_A_CALL])
        self.log_file("trials.json", trials.write_json().encode())

    def log_series(self, points: Iterable[tuple[str, int, float | None]]) -> None:
        """Log (metric, step, value) points in few calls; unknown values are left out."""
        from mlflow.entities import Metric

        metrics = [Metric(k, float(v), self.started_ms, step) for k, step, v in points if v is not None]
        for first in range(0, len(metrics), _METRICS_A_CALL):
            self.client.log_batch(self.run_id, metrics=metrics[first : first + _METRICS_A_CALL])


class Tracker:
    """Runs and registered models under ``home``; opening it touches nothing.

    Raises ModelError, ModelNotFound, and ConfigError for a path that MLflow misreads.
    """

    def __init__(self, home: Path) -> None:
        self.folder = checked_path(Path(home).resolve()) / "mlflow"

    @property
    def tracking_uri(self) -> str:
        """The address of the database, for ``mlflow server --backend-store-uri``."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """Where artifacts lie, one folder a universe."""
        return self.folder / "artifacts"

    def prepare(self) -> None:
        """Create the database; it takes a few seconds the first time, so do it early."""
        _ = self.client

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client; the database is created when it is missing."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
        import mlflow  # noqa: F401  sets its loggers up, which are made quiet below

        from nofx_pipelines.registry.relocation import relocate

        if not is_writable(self.folder):
            return self._copy()
        self.artifacts.mkdir(parents=True, exist_ok=True)
        # migrations of two processes break each other
        with _quiet(), file_lock(self.folder / "mlflow.lock", "MLflow's database", limit_s=_OPEN_LIMIT_S):
            if not (self.folder / "mlflow.db").exists():
                self._create()
            client = _opened(self.tracking_uri)
            relocate(self.folder / "mlflow.db", self.artifacts)
        return client

    def _copy(self) -> MlflowClient:
        """A client of a copy: MLflow writes into a database that it only reads."""
        import shutil
        import tempfile

        from nofx_pipelines.registry.relocation import relocate

        self._copied = tempfile.TemporaryDirectory(prefix="nofx-mlflow-")
        place = Path(self._copied.name) / "mlflow.db"
        for file in self.folder.glob("mlflow.db*"):
            shutil.copyfile(file, place.with_name(file.name))
        with _quiet():
            client = _opened(f"sqlite:///{place}")
            relocate(place, self.artifacts)
        return client

    def _create(self) -> None:
        """Make the database beside its place and rename it there: a kill half-way leaves none."""
        draft = self.folder / "mlflow.db.part"
        for left in self.folder.glob("mlflow.db.part*"):
            left.unlink()
        _opened(f"sqlite:///{draft}")
        draft.replace(self.folder / "mlflow.db")

    @contextmanager
    def run(
        self, name: str, *, experiment: str, tags: Mapping[str, str] | None = None
    ) -> Iterator[TrackedRun]:
        """A run in ``experiment`` (the universe); FAILED when the body raises, KILLED on an interrupt."""
        experiment_id = self._experiment(experiment)
        run = self.client.create_run(experiment_id, run_name=name, tags=dict(tags or {}))
        try:
            yield TrackedRun(self.client, run.info.run_id, run.info.start_time)
        except BaseException as error:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            self.client.set_terminated(run.info.run_id, status)
            raise
        self.client.set_terminated(run.info.run_id, "FINISHED")

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            location = (self.artifacts / name).as_uri()
            try:
                return str(self.client.create_experiment(name, artifact_location=location))
            except MlflowException:  # another process was faster
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def register(
        self,
        name: str,
        model: FittedModel,
        lineage: Lineage,
        *,
        run: TrackedRun,
        example: NDArray[Any],
        after: int | None = None,
    ) -> str:
        """Register ``model`` as the next version of ``name`` and return the version.

        The version carries the lineage as tags, ONNX as its only flavour, and safetensors with JSON beside it
        for further training.

        Parameters
        ----------
        name, model, lineage:
            The registered name, what was fitted, and where it came from.
        run:
            The open MLflow run.
        example:
            A few rows of features ``[N, F]``.
        after:
            The newest version that the lake's tables name: a later one with the same bytes and lineage, left
            by a run that was killed before it wrote its tables, is taken. None registers a new one always.
        """
        from nofx_pipelines.registry.versions import register_onnx

        for tag, value in lineage.tags().items():
            self.client.set_tag(run.run_id, tag, value)
        run.log_params(model.settings)
        return register_onnx(
            self.client,
            name,
            model.to_onnx(),
            run_id=run.run_id,
            feature_names=model.feature_names,
            example=example,
            tags=lineage.tags(),
            files=model.files(),
            after=after,
        )

    def register_network(
        self,
        name: str,
        onnx: bytes,
        lineage: Lineage,
        *,
        run: TrackedRun,
        example: Mapping[str, NDArray[Any]],
        output: Mapping[str, NDArray[Any]],
        files: Mapping[str, bytes],
        after: int | None = None,
    ) -> str:
        """Register an ONNX network of any inputs as the next version of ``name`` and return the version.

        ``example`` and ``output``: a few rows of each tensor by name, batch first. ``files`` lie beside it,
        ``after`` is `register`'s.
        """
        from nofx_pipelines.registry.versions import register_network

        for tag, value in lineage.tags().items():
            self.client.set_tag(run.run_id, tag, value)
        run.log_params(lineage.params)
        return register_network(
            self.client,
            name,
            onnx,
            run_id=run.run_id,
            example=example,
            output=output,
            tags=lineage.tags(),
            files=files,
            after=after,
        )

    def load(self, model: str) -> LoadedModel:
        """Load ``NAME@ALIAS``, ``NAME/VERSION`` or ``NAME`` (its newest), ``models:/`` allowed in front.

        Only ONNX is read, and only the bytes that were registered. Raises ModelNotFound, ModelError.
        """
        from nofx_pipelines.registry.versions import find_version, load_onnx

        return load_onnx(self.client, self.artifacts, find_version(self.client, model))

    def lineage(self, model: str) -> Lineage:
        """Where a registered version came from; raises ModelNotFound, ModelError."""
        from nofx_pipelines.registry.versions import find_version

        return Lineage.from_tags(find_version(self.client, model).tags)

    def alias(self, model: str, alias: str) -> str | None:
        """The version that carries ``alias``, None when nobody does."""
        from nofx_pipelines.registry.versions import version_by_alias

        found = version_by_alias(self.client, model, alias)
        return None if found is None else str(found.version)

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Give ``alias`` to ``version``, taking it from whoever had it."""
        self.client.set_registered_model_alias(model, alias, version)

    def models(self) -> pl.DataFrame:
        """Registered versions, newest last: name, version, aliases, kind, family, metrics, lineage."""
        from nofx_pipelines.registry.versions import version_table

        return version_table(self.client)

    def kept_versions(self) -> dict[str, set[int]]:
        """Per table key, the versions that registered models were trained on, which a vacuum must spare."""
        from nofx_pipelines.registry.versions import all_versions

        kept: dict[str, set[int]] = {}
        for found in all_versions(self.client):
            for table, version in Lineage.from_tags(found.tags).data_versions.items():
                kept.setdefault(table, set()).add(version)
        return kept


def _opened(address: str) -> MlflowClient:
    """A client of a database, whose tables are made when they are missing."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=address, registry_uri=address)
    client.search_experiments(max_results=1)
    client.search_registered_models(max_results=1)
    return client


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow's and Alembic's logs at warnings while the database is created."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
