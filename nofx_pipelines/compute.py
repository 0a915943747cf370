"""Which accelerator a step gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nofx_pipelines.errors import ConfigError


@dataclass(frozen=True)
class Device:
    """``kind`` as torch names it, ``name`` as a person reads it."""

    kind: Literal["cuda", "mps", "cpu"]
    name: str


def resolve_device(wanted: Literal["auto", "cuda", "mps", "cpu"]) -> Device:
    """The device for ``wanted``; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: when a device is named that this machine does not have.

    >>> resolve_device("cpu").kind
    'cpu'
    """
    if wanted == "cpu":
        return Device("cpu", "cpu")
    import torch

    available: dict[str, Device] = {"cpu": Device("cpu", "cpu")}
    if torch.backends.mps.is_available():
        available["mps"] = Device("mps", "mps")
    if torch.cuda.is_available():
        available["cuda"] = Device("cuda", torch.cuda.get_device_name(0))
    if wanted == "auto":
        return available.get("cuda") or available.get("mps") or available["cpu"]
    if wanted not in available:
        raise ConfigError(
            f"compute.device = {wanted!r}: this machine has {', '.join(available)}",
            kept="nothing was run",
            hint='set device = "auto", or install torch for it (docs/install.md)',
        )
    return available[wanted]
