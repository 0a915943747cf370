"""What a worker is asked and what it answers: the one form of a trial for every search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Trial:
    """What a worker is asked: parameters, and per fold the running mean below which it gives up."""

    number: int
    params: Mapping[str, Any]
    thresholds: tuple[float | None, ...]


@dataclass(frozen=True)
class Outcome:
    """What a worker answers; ``steps`` are the running means of the rank IC after each fold."""

    number: int
    state: str  # COMPLETE, PRUNED or FAIL
    steps: tuple[float, ...] = ()
    folds: int = 0
    rank_ic: float | None = None
    turnover: float | None = None
    sharpe: float | None = None
    """Of the top fifth's return over one horizon less that of all; not annualised, before costs."""
    returns: tuple[float, ...] = ()
    """Those returns, in time, averaged over blocks where they are many: how alike two trials are."""
    seconds: float = 0.0
    reason: str = ""
    worker: str = "local"

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Outcome:
        """Restore what :meth:`as_dict` gave."""
        return Outcome(**{**values, "steps": tuple(values["steps"]), "returns": tuple(values["returns"])})
