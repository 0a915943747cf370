"""How a network is trained, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingConfig:
    """Everything but the architecture that decides the weights."""

    epochs: int = 8
    batch: int = 512
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    row_budget: int = 25_000
    """Train rows; above it, whole timestamps are left out at even distances."""
    target: str = "rank"
