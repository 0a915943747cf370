"""A plug-in's family and its models behind checks: what goes wrong with them names the plug-in.

Rows reach it as arrays that cannot be written to: other members see the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.models.onnx_graph import INPUT, OUTPUT
from nofx_pipelines.models.space import SearchSpace
from nofx_pipelines.plugins import Reference

Array = NDArray[np.float64]

_MODEL_PARTS = ("predict", "to_onnx", "files", "feature_names", "settings")
_REGISTRY_FILES = ("MLmodel", "model.onnx")
"""What the registry itself writes into a model's folder."""


@dataclass(frozen=True, eq=False)
class GuardedModel:
    """A model that a plug-in fitted."""

    reference: Reference
    model: Any
    feature_names: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def family(self) -> str:
        """The family's name in ``nofx.toml``."""
        return self.reference.name

    def predict(self, x: Array) -> Array:
        """Scores ``[N]``; PluginError unless there is a finite one for each row."""
        with self.reference.guard("predicting"):
            scores = np.asarray(self.model.predict(_read_only(x)), dtype=np.float64)
        if scores.shape != (len(x),):
            raise self.reference.refuse(f"predicts an array of shape {scores.shape} for {len(x)} rows")
        bad = int((~np.isfinite(scores)).sum())
        if bad:
            raise self.reference.refuse(f"predicts {bad} scores of {len(x)} that are not finite")
        return scores

    def to_onnx(self) -> bytes:
        """The model's ONNX; PluginError unless ONNX Runtime loads and runs it."""
        with self.reference.guard("exporting it to ONNX"):
            onnx = self.model.to_onnx()
        problem = _why_not_served(onnx, self.feature_names)
        if problem is not None:
            raise self.reference.refuse(f"exports ONNX that {problem}")
        return bytes(onnx)

    def files(self) -> dict[str, bytes]:
        """What restores the model, by plain file names."""
        with self.reference.guard("writing its files"):
            files = dict(self.model.files())
        for name, content in files.items():
            if not isinstance(name, str) or PurePath(name).name != name or name in _REGISTRY_FILES:
                raise self.reference.refuse(f"names a file {name!r}: a plain name of its own is needed")
            if not isinstance(content, bytes):
                raise self.reference.refuse(f"gives {type(content).__name__}, not bytes, for file {name}")
        return files


@dataclass(frozen=True, eq=False)
class GuardedFitter:
    """A plug-in's own fitter."""

    reference: Reference
    fitter: Any
    columns: tuple[str, ...]

    def fit(self, params: Mapping[str, Any], seed: int) -> GuardedModel:
        """Fit to the rows that it was made with."""
        with self.reference.guard("fitting it"):
            model = self.fitter.fit(dict(params), seed)
        return _guarded_model(self.reference, model, self.columns)


@dataclass(frozen=True, eq=False)
class GuardedFamily:
    """A plug-in's family, under its name in ``nofx.toml``."""

    reference: Reference
    member: Any

    @property
    def name(self) -> str:
        """The family's name in ``nofx.toml``."""
        return self.reference.name

    @property
    def libraries(self) -> tuple[str, ...]:
        """The distributions that it names."""
        return tuple(self.reference.read(self.member, "libraries"))

    def space(self) -> SearchSpace | None:
        """What its study searches."""
        with self.reference.guard("asking for its space"):
            space = self.member.space()
        if space is not None and not isinstance(space, SearchSpace):
            raise self.reference.refuse(
                f"has a space() that gives {type(space).__name__}, not a SearchSpace or None"
            )
        return space

    def fit(self, data: Dataset, params: Mapping[str, Any], seed: int, device: str) -> GuardedModel:
        """Fit one model."""
        with self.reference.guard("fitting it"):
            model = self.member.fit(_read_only_rows(data), dict(params), seed, device)
        return _guarded_model(self.reference, model, data.feature_names)

    @property
    def fitter(self) -> Callable[[Dataset], GuardedFitter] | None:
        """Its own fitter where it has one."""
        return self._fitter if self.reference.read(self.member, "fitter", None) is not None else None

    def _fitter(self, train: Dataset) -> GuardedFitter:
        with self.reference.guard("preparing rows"):
            own = self.member.fitter(_read_only_rows(train))
        return GuardedFitter(self.reference, own, train.feature_names)

    def restore(self, files: Mapping[str, bytes]) -> GuardedModel:
        """The model that wrote ``files``."""
        with self.reference.guard("restoring a model"):
            model = self.member.restore(dict(files))
        return _guarded_model(self.reference, model, None)


def guarded_family(reference: Reference, member: Any) -> GuardedFamily:
    """The plug-in's family behind its checks; PluginError where it lacks what a family offers."""
    reference.require(member, "space()", "fit(data, params, seed, device)", "restore(files)")
    if not isinstance(reference.read(member, "name", None), str):
        raise reference.refuse("has no name: a model family has one, a str")
    libraries = reference.read(member, "libraries", None)
    if not isinstance(libraries, (tuple, list)) or not all(isinstance(name, str) for name in libraries):
        raise reference.refuse('names no libraries: write libraries = ("numpy", "onnx") or those it uses')
    absent = [name for name in libraries if not _is_installed(name)]
    if absent:
        raise reference.refuse(f"names libraries that are not installed: {', '.join(absent)}")
    return GuardedFamily(reference, member)


def _guarded_model(reference: Reference, model: Any, columns: tuple[str, ...] | None) -> GuardedModel:
    """The model behind its checks; ``columns``: those of the rows that it was fitted to, where known."""
    with reference.guard("reading what it fitted"):
        missing = [name for name in _MODEL_PARTS if not hasattr(model, name)]
        if missing:
            raise reference.refuse(f"fits a {type(model).__name__} without {', '.join(missing)}")
        names, settings = model.feature_names, model.settings
        if not isinstance(names, (tuple, list)) or (columns is not None and tuple(names) != columns):
            raise reference.refuse(
                "fits a model whose feature_names are not the columns of its rows, in order"
            )
        try:
            written = json.loads(json.dumps(dict(settings)))
        except (TypeError, ValueError) as error:
            raise reference.refuse(f"fits a model whose settings are no JSON values: {error}") from error
    return GuardedModel(reference, model, tuple(names), written)


def _why_not_served(onnx: Any, feature_names: tuple[str, ...]) -> str | None:
    """Why ONNX Runtime does not score rows with these bytes; None where it does."""
    import onnxruntime as ort

    if not isinstance(onnx, bytes):
        return f"is {type(onnx).__name__}, not bytes"
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    row = np.zeros((1, len(feature_names)))
    try:
        session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        score = session.run([OUTPUT], {INPUT: row})[0]
    except Exception as error:  # noqa: BLE001  ONNX Runtime's errors share no class
        return f"does not load or run: {' '.join(str(error).split())[:300]}"
    named = session.get_modelmeta().custom_metadata_map.get("feature_names", "[]")
    if tuple(json.loads(named)) != feature_names:
        return "does not name its features: build it with models.onnx_graph.model_bytes"
    if score.shape != (1,) or score.dtype != np.float64:
        return f"scores one row as {score.dtype} of shape {score.shape}, not float64 of shape (1,)"
    return None


def _read_only_rows(data: Dataset) -> Dataset:
    return Dataset(
        x=_read_only(data.x),
        y=_read_only(data.y),
        weight=_read_only(data.weight),
        ts_close=_read_only(data.ts_close),
        session_date=_read_only(data.session_date),
        instrument_id=_read_only(data.instrument_id),
        feature_names=data.feature_names,
    )


def _read_only(values: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written to."""
    view = np.asarray(values).view()
    view.flags.writeable = False
    return view


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
