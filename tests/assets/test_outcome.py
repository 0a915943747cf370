"""What a person may ask of a heavy stage, and what its definition tells an executor."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import dagster as dg
import pytest

from assets import candidate_model, features, hpo_study, nas_search
from assets.outcome import HeavyOptions
from assets.stage import GPU_POOL
from nofx_pipelines.config import ComputeConfig, UniverseConfig
from nofx_pipelines.config_file import default_config

HEAVY = (hpo_study, nas_search, candidate_model)


def _universe(tmp_path: Path, device: str) -> tuple[UniverseConfig, dict[str, object]]:
    config = default_config(tmp_path)
    universe = dataclasses.replace(config.universes["cn"], compute=ComputeConfig(device=device))  # type: ignore[arg-type]
    return universe, {"feed": config.feed_of(universe)}


def test_a_run_s_device_overrides_the_universe_s() -> None:
    universe = ComputeConfig(device="cuda", memory_share=0.5)
    assert HeavyOptions().compute_of(universe) == universe
    chosen = HeavyOptions(device="cpu").compute_of(universe)
    assert (chosen.device, chosen.memory_share) == ("cpu", 0.5)


@pytest.mark.parametrize("module", HEAVY, ids=lambda m: m.__name__)
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_heavy_stages_share_the_gpu_s_pool_and_ask_for_one(
    module: object, device: str, tmp_path: Path
) -> None:
    universe, more = _universe(tmp_path, device)
    asset = module.build(universe, **more)  # type: ignore[attr-defined]
    assert asset.op.pool == GPU_POOL
    limits = asset.op.tags["dagster-k8s/config"]
    assert '"nvidia.com/gpu": "1"' in str(limits).replace("'", '"')


@pytest.mark.parametrize("module", [*HEAVY, features], ids=lambda m: m.__name__)
def test_what_runs_on_the_cpu_asks_for_none(module: object, tmp_path: Path) -> None:
    universe, more = _universe(tmp_path, "cpu")
    asset = module.build(universe, **more)  # type: ignore[attr-defined]
    assert isinstance(asset, dg.AssetsDefinition)
    assert asset.op.pool is None
    assert "dagster-k8s/config" not in asset.op.tags
