"""Fitting one network: weighted squared error on ranks within each bar, in mini-batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nofx_pipelines.errors import ModelError, NotEnoughData
from nofx_pipelines.models.networks.network import Network, build
from nofx_pipelines.models.networks.spec import ArchSpec
from nofx_pipelines.models.networks.training_config import TrainingConfig

Floats = NDArray[np.float32]


def fit(
    spec: ArchSpec,
    windows: Floats,
    target: Floats,
    weight: Floats,
    config: TrainingConfig,
    *,
    seed: int,
    device: str,
) -> Network:
    """The trained network, in evaluation mode on the CPU.

    ``windows`` ``[N, L, C]`` are standardised and without NaN; ``target`` and ``weight`` ``[N]``. The same
    arguments give the same bits on one machine. Raises NotEnoughData below two rows, ModelError when the loss
    is no longer finite.
    """
    if len(windows) < 2:
        raise NotEnoughData(
            f"a network cannot be fitted to {len(windows)} rows; it needs two at least",
            kept="no network was trained",
            hint="ask for a longer history",
        )
    torch.set_num_threads(1)
    network = build(spec, seed).to(device)
    order = torch.Generator().manual_seed(seed)
    x, y, w = (torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in (windows, target, weight))
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * max(1, -(-len(x) // config.batch))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=steps)
    with torch.random.fork_rng(devices=_devices(device)):
        torch.manual_seed(seed)  # dropout draws from the global generator
        network.train()
        for _ in range(config.epochs):
            for rows in torch.split(torch.randperm(len(x), generator=order), config.batch):
                if len(rows) > 1:  # batch norm needs two
                    _step(network, optimiser, x[rows], y[rows], w[rows])
                schedule.step()
    return network.eval().to("cpu")


def _step(network: Network, optimiser: Any, x: Tensor, y: Tensor, w: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss = (w * torch.square(network(x) - y)).sum() / w.sum()
    if not torch.isfinite(loss):
        raise ModelError(
            f"the loss of {network.spec.arch_hash[:12]} is {float(loss.detach())}", kept="other trials go on"
        )
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()


def predict(network: Network, windows: Floats, *, batch: int = 8_192) -> NDArray[np.float64]:
    """Scores ``[N]`` of standardised windows ``[N, L, C]``."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        parts = [network(torch.from_numpy(np.ascontiguousarray(part))) for part in _parts(windows, batch)]
    return torch.cat(parts).double().numpy() if parts else np.empty(0)


def _parts(windows: Floats, batch: int) -> list[Floats]:
    return [windows[first : first + batch] for first in range(0, len(windows), batch)]


def _devices(device: str) -> list[int]:
    return [torch.cuda.current_device()] if device == "cuda" else []
