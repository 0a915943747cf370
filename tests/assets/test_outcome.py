"""What a person may ask of a heavy stage, and what its definition tells an executor."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import dagster as dg
import pytest

from assets.outcome import HeavyOptions
from assets.stage import GPU_POOL, build_stage
from nofx_pipelines.config import ComputeConfig, FeedConfig, UniverseConfig
from nofx_pipelines.config_file import default_config
from nofx_pipelines.graph import STAGES

HEAVY = ("marl_training", "marl_policy", "hpo_study", "nas_search", "candidate_model")


def _universe(tmp_path: Path, device: str) -> tuple[UniverseConfig, dict[str, FeedConfig]]:
    config = default_config(tmp_path)
    universe = dataclasses.replace(config.universes["cn"], compute=ComputeConfig(device=device))  # type: ignore[arg-type]
    return universe, {"feed": config.feed_of(universe)}


def test_a_run_s_device_overrides_the_universe_s() -> None:
    universe = ComputeConfig(device="cuda", memory_share=0.5)
    assert HeavyOptions().compute_of(universe) == universe
    chosen = HeavyOptions(device="cpu").compute_of(universe)
    assert (chosen.device, chosen.memory_share) == ("cpu", 0.5)


@pytest.mark.parametrize("name", HEAVY)
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_heavy_stages_share_the_gpu_s_pool_and_ask_for_one(name: str, device: str, tmp_path: Path) -> None:
    universe, more = _universe(tmp_path, device)
    asset = build_stage(STAGES[name], universe, **more)
    assert asset.op.pool == GPU_POOL
    limits = asset.op.tags["dagster-k8s/config"]
    assert '"nvidia.com/gpu": "1"' in str(limits).replace("'", '"')


@pytest.mark.parametrize("name", [*HEAVY, "features"])
def test_what_runs_on_the_cpu_asks_for_none(name: str, tmp_path: Path) -> None:
    universe, more = _universe(tmp_path, "cpu")
    asset = build_stage(STAGES[name], universe, **more)
    assert isinstance(asset, dg.AssetsDefinition)
    assert asset.op.pool is None
    assert "dagster-k8s/config" not in asset.op.tags
