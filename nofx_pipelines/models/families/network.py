"""A searched network as a model like any other: raw window columns in, scores out, preprocessing inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.compute import resolve_device
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.models import preprocessing
from nofx_pipelines.models.dataset import Dataset, thinned
from nofx_pipelines.models.family import LIBRARIES, params_of
from nofx_pipelines.models.networks.spec import ArchSpec
from nofx_pipelines.models.networks.training_config import TrainingConfig
from nofx_pipelines.models.preprocessing import Preprocessing
from nofx_pipelines.models.targets import training_target
from nofx_pipelines.models.window_columns import base_names, window_names

if TYPE_CHECKING:
    from nofx_pipelines.models.networks.network import Network

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NetworkParams:
    """What a network is fitted with: its architecture as JSON, and the training."""

    spec: str
    training: TrainingConfig
    device: str = "cpu"

    @staticmethod
    def of(params: Mapping[str, Any]) -> NetworkParams:
        """From JSON values; raises ConfigError for an unknown name and without an architecture."""
        if "spec" not in params:
            raise ConfigError("model family network has no architecture: its parameter spec is missing")
        training = params_of(TrainingConfig, params.get("training", {}), "network")
        return params_of(NetworkParams, {**params, "training": training}, "network")

    @property
    def architecture(self) -> ArchSpec:
        """The architecture."""
        return ArchSpec.from_json(self.spec)


@dataclass(frozen=True, eq=False)
class SearchedNetwork:
    """A trained network and the preprocessing of its features."""

    family: ClassVar[str] = "network"

    network: Network
    preprocessing: Preprocessing
    """Of the features ``[C]``, the same for every bar of a window."""
    params: NetworkParams
    feature_names: tuple[str, ...]
    """Window columns, see `models.window_columns`."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The parameters as JSON values."""
        return asdict(self.params)

    def predict(self, x: Array) -> Array:
        """Scores ``[N]`` for raw windows ``[N, L * C]``."""
        from nofx_pipelines.models.networks.training import predict

        return predict(self.network, standardised(x, self.preprocessing, self.params.architecture))

    def to_onnx(self) -> bytes:
        """The model as ONNX, preprocessing inside."""
        from nofx_pipelines.models.networks.network import state
        from nofx_pipelines.models.networks.onnx_graph import network_part
        from nofx_pipelines.models.onnx_graph import model_bytes

        part = network_part(self.params.architecture, state(self.network), self.preprocessing)
        return model_bytes([part], self.feature_names, self.family)

    def files(self) -> dict[str, bytes]:
        """``weights.safetensors`` and ``model.json``."""
        from safetensors.numpy import save

        from nofx_pipelines.models.networks.network import state

        prepared = self.preprocessing
        described = {
            "family": self.family,
            "params": self.settings,
            "feature_names": self.feature_names,
            "clip": prepared.clip,
        }
        arrays = {
            **{f"network.{name}": value for name, value in state(self.network).items()},
            "median": prepared.median,
            "mean": prepared.mean,
            "scale": prepared.scale,
        }
        return {
            "weights.safetensors": save(arrays),
            "model.json": json.dumps(described, sort_keys=True, indent=1).encode(),
        }

    @staticmethod
    def from_files(files: Mapping[str, bytes]) -> SearchedNetwork:
        """Restore what :meth:`files` wrote, to the same bits."""
        import torch
        from safetensors.numpy import load

        from nofx_pipelines.models.networks.network import build

        described, arrays = json.loads(files["model.json"]), load(files["weights.safetensors"])
        params = NetworkParams.of(described["params"])
        network = build(params.architecture, 0)
        network.load_state_dict(
            {
                name.removeprefix("network."): torch.from_numpy(value.copy())
                for name, value in arrays.items()
                if name.startswith("network.")
            }
        )
        prepared = Preprocessing(arrays["median"], arrays["mean"], arrays["scale"], described["clip"])
        return SearchedNetwork(network.eval(), prepared, params, tuple(described["feature_names"]))


def standardised(x: Array, prepared: Preprocessing, spec: ArchSpec) -> NDArray[np.float32]:
    """Raw window columns ``[N, L * C]`` as a network takes them ``[N, L, C]``."""
    windows = np.asarray(x).reshape(len(x), spec.lookback, spec.features)
    return prepared.apply(windows).astype(np.float32)


def train(data: Dataset, params: NetworkParams, seed: int) -> SearchedNetwork:
    """Fit the architecture to ``data``, whose columns end with the window that it reads.

    Raises ConfigError for a device that this machine does not have.
    """
    from nofx_pipelines.models.networks.training import fit

    device = resolve_device(params.device).kind  # type: ignore[arg-type]
    spec, config = params.architecture, params.training
    features = base_names(data.feature_names)
    names = window_names(features, spec.lookback)
    rows = thinned(data, config.row_budget)
    x = rows.x[:, -len(names) :]
    prepared = preprocessing.fit(x[:, -spec.features :])
    target = training_target(rows.y, rows.ts_close, rows.instrument_id, config.target)  # type: ignore[arg-type]
    network = fit(
        spec,
        standardised(x, prepared, spec),
        target.astype(np.float32),
        rows.weight.astype(np.float32),
        config,
        seed=seed,
        device=device,
    )
    return SearchedNetwork(network, prepared, params, names)


@dataclass(frozen=True)
class NetworkFamily:
    """Networks of a given architecture; architectures are searched by `nas`, not by a study."""

    name: str = "network"
    libraries: tuple[str, ...] = LIBRARIES

    def space(self) -> None:
        """No study of hyper-parameters."""

    def fit(self, data: Dataset, params: Mapping[str, Any], seed: int, device: str) -> SearchedNetwork:
        """Train the architecture ``spec``, on the device that ``params`` record where they do."""
        return train(data, NetworkParams.of({"device": device, **params}), seed)

    def restore(self, files: Mapping[str, bytes]) -> SearchedNetwork:
        """From ``weights.safetensors`` and ``model.json``."""
        return SearchedNetwork.from_files(files)


FAMILY = NetworkFamily()
