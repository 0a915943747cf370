"""A policy as files: safetensors with a JSON description, from which it acts and is trained further."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch

from nofx_pipelines.marl.communication import MessageConfig
from nofx_pipelines.marl.policy import Policy, PolicyConfig


def policy_files(policy: Policy, agents: Sequence[str]) -> dict[str, bytes]:
    """``weights.safetensors`` and ``model.json``."""
    from safetensors.torch import save

    told = {
        "agents": list(agents),
        "observation": policy.observation,
        "actions": policy.actions,
        "discrete": policy.discrete,
        "config": asdict(policy.config),
    }
    weights = {name: value.detach().cpu().contiguous() for name, value in policy.state_dict().items()}
    return {
        "weights.safetensors": save(weights),
        "model.json": json.dumps(told, sort_keys=True, indent=1).encode(),
    }


def restore_policy(files: Mapping[str, bytes]) -> Policy:
    """Put a policy together from ``policy_files``, to the same bits."""
    from safetensors.torch import load

    told = json.loads(files["model.json"])
    config = PolicyConfig(
        tuple(told["config"]["hidden"]),
        told["config"]["last_gain"],
        MessageConfig(**told["config"]["message"]),
    )
    sizes = (len(told["agents"]), told["observation"], told["actions"], told["discrete"])
    policy = Policy(*sizes, config, torch.Generator().manual_seed(0))
    policy.load_state_dict(load(files["weights.safetensors"]))
    return policy.eval()
