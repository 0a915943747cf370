"""Checkpoints: safetensors with a JSON header, checksummed, renamed into place; resuming is bit for bit."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nofx_pipelines.errors import IntegrityError


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
    """Write both in one file; a kill at any moment leaves the last whole one."""
    from safetensors.torch import save

    payload = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    header = json.dumps(
        {"sha256": hashlib.sha256(payload).hexdigest(), "progress": dict(progress)}, sort_keys=True
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.part")
    with draft.open("wb") as stream:
        stream.write(header.encode() + b"\n" + payload)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``save_checkpoint`` wrote; raises IntegrityError for other bytes."""
    from safetensors.torch import load

    head, _, payload = path.read_bytes().partition(b"\n")
    try:
        header = json.loads(head)
        expected = header["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} is no checkpoint", kept="it was left as it is", hint=f"rm {shlex.quote(str(path))}"
        ) from error
    digest = hashlib.sha256(payload).hexdigest()
    if digest != expected:
        raise IntegrityError(
            f"{path} has SHA-256 {digest[:12]}…, written was {expected[:12]}…",
            kept="it was left as it is",
            hint=f"rm {shlex.quote(str(path))}, then train again",
        )
    return load(payload), header["progress"]


def optimiser_state(name: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors of an optimiser by name."""
    return {
        f"{name}.{index}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for index, state in optimiser.state_dict()["state"].items()
        for key, value in state.items()
    }


def restore_optimiser(name: str, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what ``optimiser_state`` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for full, value in tensors.items():
        if full.startswith(f"{name}."):
            index, _, key = full.removeprefix(f"{name}.").partition(".")
            state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def module_state(name: str, module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a module by name."""
    return {f"{name}.{key}": value for key, value in module.state_dict().items()}


def restore_module(name: str, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back what ``module_state`` gave."""
    own = {
        full.removeprefix(f"{name}."): value for full, value in tensors.items() if full.startswith(f"{name}.")
    }
    module.load_state_dict(own)
