"""Hyper-parameters that are searched: ordered parameters with bounds, and the values of the first trial."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from nofx_pipelines.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value: TypeAlias = float | int | bool | str


@dataclass(frozen=True)
class Parameter:
    """A number between ``low`` and ``high`` (both included), or one of ``choices``.

    >>> Parameter("penalty", "float", 0.01, 10.0, log=True).contains(0.5)
    True
    """

    name: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "choice":
            if not self.choices:
                raise ConfigError(f"parameter {self.name} has no choices", hint="name at least one")
            return
        bounds, hint = (self.low, self.high), "give low <= high, above zero for a logarithmic scale"
        wrong = not all(map(math.isfinite, bounds)) or self.low > self.high or (self.log and self.low <= 0)
        if self.kind == "int" and not wrong and any(bound != int(bound) for bound in bounds):
            wrong, hint = True, "give whole numbers"
        if wrong:
            raise ConfigError(f"parameter {self.name} spans {self.low} to {self.high}", hint=hint)

    def contains(self, value: object) -> bool:
        """Whether ``value`` may be chosen; a whole number is a float too, a bool is no number."""
        if self.kind == "choice":
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int if self.kind == "int" else (int, float)):
            return False
        return self.low <= value <= self.high

    def __str__(self) -> str:
        """The name and what it may be, for messages."""
        if self.kind == "choice":
            return f"{self.name} (one of {', '.join(map(repr, self.choices))})"
        return f"{self.name} ({self.kind}, {self.low:g} to {self.high:g})"


@dataclass(frozen=True)
class SearchSpace:
    """Ordered parameters and the values of the first trial.

    >>> space = SearchSpace("ridge", (Parameter("penalty", "float", 0.01, 10.0, log=True),), (0.3,))
    >>> space.first_params
    {'penalty': 0.3}
    """

    name: str
    parameters: tuple[Parameter, ...]
    first: tuple[Value, ...]

    def __post_init__(self) -> None:
        names = [parameter.name for parameter in self.parameters]
        if len(set(names)) != len(names) or len(self.first) != len(names):
            raise ConfigError(
                f"space {self.name} has {len(set(names))} names and {len(self.first)} first values "
                f"for {len(names)} parameters"
            )
        for parameter, value in zip(self.parameters, self.first, strict=True):
            if not parameter.contains(value):
                raise ConfigError(f"the first trial's {parameter.name} = {value!r} lies outside the space")

    @property
    def first_params(self) -> dict[str, Value]:
        """The first trial's parameters by name."""
        return {p.name: value for p, value in zip(self.parameters, self.first, strict=True)}

    def why_outside(self, params: Mapping[str, Any]) -> str | None:
        """What keeps ``params`` out of the space, None where nothing does.

        >>> space = SearchSpace("ridge", (Parameter("penalty", "float", 0.01, 10.0),), (0.3,))
        >>> space.why_outside({"penalty": 99.0})
        'penalty = 99.0 lies outside penalty (float, 0.01 to 10)'
        >>> space.why_outside({"penality": 0.3})
        'it has no parameter penality; its parameters are penalty (float, 0.01 to 10)'
        """
        names = [parameter.name for parameter in self.parameters]
        options = f"its parameters are {', '.join(map(str, self.parameters))}"
        unknown = [str(name) for name in params if name not in names]
        if unknown:
            return f"it has no parameter {', '.join(unknown)}; {options}"
        missing = [name for name in names if name not in params]
        if missing:
            return f"{', '.join(missing)} is missing; {options}"
        outside = [p for p in self.parameters if not p.contains(params[p.name])]
        return (
            f"{outside[0].name} = {params[outside[0].name]!r} lies outside {outside[0]}" if outside else None
        )

    def digest(self) -> str:
        """Hash of everything that the space says."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def distributions(self) -> dict[str, BaseDistribution]:
        """The parameters as Optuna takes them."""
        return {parameter.name: _distribution(parameter) for parameter in self.parameters}


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.kind == "choice":
        return CategoricalDistribution(parameter.choices)
    if parameter.kind == "int":
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
