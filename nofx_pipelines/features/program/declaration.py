"""A feature, and a set of them that is lowered to one program."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.algebra.clocks import TRADED, Clock, on_one_clock
from nofx_pipelines.features.algebra.expr import Expr
from nofx_pipelines.features.program.lowering import Program, lower

UNITS = ("price", "shares", "money", "return", "ratio", "rank", "index", "count")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_TAKEN = frozenset({"instrument_id", "ts_close", "session_date", "version", TRADED})


@dataclass(frozen=True)
class Feature:
    """A named expression: what it computes, in which unit, and what for.

    ``scale_free`` features mean the same for every instrument and era (returns, ratios, ranks);
    only those go into training sets. ``online`` ones are handed over to the online store.

    >>> from nofx_pipelines.features import close, ref
    >>> gain = Feature("gain", close / ref(close, 1) - 1, "return", "Return of the bar.", True)
    >>> gain.dtype, gain.online, len(gain.version)
    ('Float64', True, 16)
    """

    name: str
    expr: Expr
    unit: str
    description: str
    scale_free: bool
    owner: str = "nofx"
    online: bool = True
    clock: Clock = "row"
    """What its windows count: the instrument's traded bars, or all bars of its calendar (`clocks`)."""

    @property
    def dtype(self) -> str:
        """The type of its column."""
        return "Float64"

    @property
    def version(self) -> str:
        """The hash of what it computes, whatever it is computed with."""
        return lower(on_one_clock({self.name: (self.expr, self.clock)})).version

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name.lower() in _TAKEN:
            raise FeatureError(
                f"feature name {self.name!r} is taken or not of letters, digits and _",
                hint="name it return_5",
            )
        if self.clock not in ("row", "calendar"):
            raise FeatureError(
                f"clock {self.clock!r} of feature {self.name} is not known", hint="row or calendar"
            )
        if self.expr.clock:
            raise FeatureError(
                f"feature {self.name} has the rows of a condition only",
                hint="bring it back with hold(y, when), or use resample(...)",
            )
        if self.unit not in UNITS:
            raise FeatureError(
                f"unit {self.unit!r} of feature {self.name} is not known", hint=f"one of {UNITS}"
            )


@dataclass(frozen=True)
class FeatureSet:
    """Features that are computed together; ``a + b`` composes two sets.

    What both declare alike is there once, as the first one writes it: names that differ in their case only
    are one in SQL.

    >>> from nofx_pipelines.features import close, ref
    >>> change = Feature("change", close - ref(close, 1), "price", "Change of the close.", False)
    >>> both = FeatureSet("mine", (change,)) + FeatureSet("more", ())
    >>> both.name, both.columns, both.lookback, len(both.version)
    ('mine+more', ('change',), 1, 16)
    """

    name: str
    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        twice = [name for name, count in Counter(f.name.lower() for f in self.features).items() if count > 1]
        if twice:
            raise FeatureError(
                f"feature set {self.name!r} declares {twice} more than once", hint="rename one"
            )

    def __add__(self, other: FeatureSet) -> FeatureSet:
        own = {(feature.name.lower(), feature.expr, feature.clock) for feature in self.features}
        more = (f for f in other.features if (f.name.lower(), f.expr, f.clock) not in own)
        return FeatureSet(f"{self.name}+{other.name}", (*self.features, *more))

    def __getitem__(self, name: str) -> Feature:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise FeatureError(f"no feature {name!r} in {self.name!r}", hint=f"one of {list(self.columns)}")

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the features, in the order of declaration."""
        return tuple(feature.name for feature in self.features)

    @property
    def scale_free(self) -> tuple[str, ...]:
        """The names of the features that go into training sets."""
        return tuple(feature.name for feature in self.features if feature.scale_free)

    @cached_property
    def program(self) -> Program:
        """The lowered program of all features."""
        return lower(self.exprs)

    @cached_property
    def exprs(self) -> dict[str, Expr]:
        """What is computed, by name: the features, and ``traded`` where one counts all bars."""
        return on_one_clock({feature.name: (feature.expr, feature.clock) for feature in self.features})

    @property
    def version(self) -> str:
        """16 hexadecimal digits: the hash of what the set computes."""
        return self.program.version

    @property
    def lookback(self) -> int:
        """An instrument's earlier rows that are needed, beside the stored state, to go on."""
        return self.program.lookback

    @property
    def warm_up(self) -> int:
        """An instrument's rows before the last feature has its first value."""
        return max((feature.expr.warm_up for feature in self.features), default=0)
