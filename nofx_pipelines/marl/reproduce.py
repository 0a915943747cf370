"""Train a registered team again from what was recorded with it."""

from __future__ import annotations

from nofx_pipelines import plugins
from nofx_pipelines.code_version import code_version
from nofx_pipelines.config import MarlConfig, UniverseConfig
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.marl.members import members
from nofx_pipelines.marl.onnx_export import policy_bytes
from nofx_pipelines.marl.source import load_panel
from nofx_pipelines.marl.training import train_team
from nofx_pipelines.registry.lineage import Lineage, require_same_plugins

LIBRARIES = ("numpy", "onnx", "polars", "torch")
_MODULES = (
    "nofx_pipelines.marl.training",
    "nofx_pipelines.marl.source",
    "nofx_pipelines.marl.onnx_export",
)


_KINDS = ("algorithms", "roles", "tasks", "rewards")


def training_code() -> str:
    """The hash of the sources that decide a team's weights and their ONNX, every built-in member's included.

    Those of plug-ins are recorded one by one.
    """
    built_in = [plugins.find(kind, name).module for kind in _KINDS for name in plugins.builtin_names(kind)]
    return code_version([*_MODULES, *built_in])


def retrained_onnx(lake: Lake, lineage: Lineage) -> bytes:
    """The ONNX of the same training: recorded members, settings, seed and versions of the tables.

    What a team that was registered before members had names does not record is as it was then, the default.
    Raises what the lake raises for a version that is gone, ConfigError for a plug-in that is, CodeChanged
    for one whose sources are others.
    """
    params = dict(lineage.params)
    market, freq, fraction = (params.pop(name) for name in ("market", "freq", "test_fraction"))
    universe = UniverseConfig(name=lineage.universe, market=market, freq=freq)
    config = MarlConfig(algorithm=lineage.family, seeds=(lineage.seed,), **params)
    folder = lake.root.parent / plugins.FOLDER  # of the home that the lake is in
    title = f"the team of {lineage.universe}"
    require_same_plugins(title, lineage.plugins, plugins.plugin_digests(members(config, folder)))
    panel, cut = load_panel(lake, universe, test_fraction=fraction, versions=lineage.data_versions)
    team = train_team(panel, cut, config, lineage.seed, run=lineage.universe, folder=folder)
    return policy_bytes(team.policy, team.agents)
