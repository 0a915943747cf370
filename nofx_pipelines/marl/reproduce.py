"""Train a registered team again from what was recorded with it."""

from __future__ import annotations

from nofx_pipelines.code_version import code_version
from nofx_pipelines.config import MarlConfig, UniverseConfig
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.marl.onnx_export import policy_bytes
from nofx_pipelines.marl.source import load_panel
from nofx_pipelines.marl.training import train_team
from nofx_pipelines.registry.lineage import Lineage

LIBRARIES = ("numpy", "onnx", "polars", "torch")
_MODULES = (
    "nofx_pipelines.marl.training",
    "nofx_pipelines.marl.source",
    "nofx_pipelines.marl.onnx_export",
)


def training_code() -> str:
    """The hash of the sources that decide a team's weights and their ONNX."""
    return code_version(_MODULES)


def retrained_onnx(lake: Lake, lineage: Lineage) -> bytes:
    """The ONNX of the same training: recorded settings, seed and versions of the tables.

    Raises what the lake raises for a version that is gone.
    """
    params = dict(lineage.params)
    market, freq, fraction = (params.pop(name) for name in ("market", "freq", "test_fraction"))
    universe = UniverseConfig(name=lineage.universe, market=market, freq=freq)
    panel, cut = load_panel(lake, universe, test_fraction=fraction, versions=lineage.data_versions)
    config = MarlConfig(algorithm=lineage.family, seeds=(lineage.seed,), **params)  # type: ignore[arg-type]
    team = train_team(panel, cut, config, lineage.seed, run=lineage.universe)
    return policy_bytes(team.policy, team.agents)
