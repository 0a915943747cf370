"""What a detector reads, what it says, and what it is: for the files of this folder and for users' own.

A detector's file assigns ``DETECTOR``. It is fitted on the sessions of a reference, which all lie before the
period that is scored, and stays as it is until the next refit. It says one or several numbers of each bar,
its ``statistics``; the ensemble turns them into p-values against the same reference and combines them with
those of the other detectors.

What a bar scores may depend on the reference, on the bars before it and on the bar itself. To the last bit,
it must be the same whichever sessions are scored together and whatever was asked before: a plug-in is asked
for one session again by itself, and is refused where that differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from nofx_pipelines.anomaly.conditioning import CHANNELS, FEATURES, NAMES
from nofx_pipelines.anomaly.panel import COLUMNS, Bools, Floats, Panel
from nofx_pipelines.anomaly.windows import TradedBars

TYPES = ("statistical", "contextual", "collective", "temporal", "spatial")
"""Of anomalies: odd by itself, for its circumstances, as a run of bars, in time, against the market."""


@dataclass(frozen=True)
class Statistic:
    """One number that a detector says of each bar; larger is odder, NaN where it cannot tell.

    Parameters
    ----------
    name
        Unique within the detector; a rule's stands in the table's column ``rule``.
    channel
        One of `CHANNELS`, within which only the loudest statistic of all detectors counts; None: it belongs
        to the bar as a whole. What the channel ``data`` says is no matter of distributions: it is not
        calibrated again with the others.
    feature
        One of `NAMES` that it is about: its channel follows, and explanations name it.
    rule
        It fires or not, with odds of its own: values are -log10 p, 0 where it does not fire. Those of other
        statistics are on any scale.
    type
        One of `TYPES`: of the anomaly, where this statistic is the loudest.

    Raises
    ------
    ValueError
        For a channel, a feature or a type that there is none of, and for a rule about a feature.

    Examples
    --------
    >>> Statistic("volume_up", feature="volume").channel
    'volume'
    >>> Statistic("halt", channel="data", rule=True, type="temporal").feature is None
    True
    """

    name: str
    channel: str | None = None
    feature: str | None = None
    rule: bool = False
    type: str = "statistical"

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name):
            raise ValueError(f"a statistic's name is a text, not {self.name!r}")
        for value, allowed in (
            (self.channel, (None, *CHANNELS)),
            (self.feature, (None, *NAMES)),
            (self.type, TYPES),
        ):
            if value not in allowed:
                raise ValueError(f"{value!r} of statistic {self.name!r} is none of {allowed}")
        if self.feature is not None:
            channel = FEATURES[NAMES.index(self.feature)].channel
            if self.rule or self.channel not in (None, channel):
                raise ValueError(
                    f"statistic {self.name!r} is about {self.feature}: no rule, and of {channel}"
                )
            object.__setattr__(self, "channel", channel)


def by_feature(type: str = "statistical") -> tuple[Statistic, ...]:
    """One statistic for each of `FEATURES`, under the feature's name.

    >>> [statistic.name for statistic in by_feature()][:2]
    ['return', 'reversal']
    """
    return tuple(Statistic(feature.name, feature=feature.name, type=type) for feature in FEATURES)


@dataclass(frozen=True, eq=False)
class BarWindow:
    """Bars of consecutive sessions, as a detector reads them; its arrays cannot be written to.

    Cubes are ``[S, B, N]``: sessions, slots of the day (one for daily bars), instruments. Slots and
    instruments are the same when a detector is fitted and when it scores; for another reference they may be
    others.
    """

    sessions: tuple[date, ...]
    instruments: tuple[str, ...]
    values: Mapping[str, Floats]
    """Open, high, low, close (adjusted), volume and so on, by `COLUMNS`; NaN where nothing traded."""
    traded: Bools
    hole: Bools
    """Bars that the calendar expects and no source has, without a known reason."""
    refused: Bools
    """Bars that a source has and the checks did not let in."""
    z: Floats
    """Features ``[F, S, B, N]`` by `NAMES`, in standard deviations from what was expected of the bar; NaN
    where unknown, and in the first sessions, whose own history is not complete."""
    span: int
    """Sessions within which the bars of one moving window must lie."""

    @classmethod
    def of(cls, panel: Panel, z: Floats, first: int, span: int) -> BarWindow:
        """The sessions of ``panel`` from ``first`` on that ``z`` ``[F, S, B, N]`` is of."""
        part = slice(first, first + z.shape[1])
        return cls(
            sessions=panel.sessions[part],
            instruments=panel.instruments,
            values=MappingProxyType({name: _read_only(panel.values[name][part]) for name in COLUMNS}),
            traded=_read_only(panel.traded[part]),
            hole=_read_only(panel.hole[part]),
            refused=_read_only(panel.refused[part]),
            z=_read_only(z),
            span=span,
        )

    @classmethod
    def of_features(cls, z: Floats) -> BarWindow:
        """Bars that only have features ``z`` ``[F, S, B, N]``, all of them traded: for trying a detector.

        >>> BarWindow.of_features(np.zeros((len(NAMES), 250, 1, 3))).traded.shape
        (250, 1, 3)
        """
        sessions, _, instruments = z.shape[1:]
        unknown, no = np.full(z.shape[1:], np.nan), np.zeros(z.shape[1:], dtype=np.bool_)
        return cls(
            sessions=tuple(date(2024, 1, 1) + timedelta(days=k) for k in range(sessions)),
            instruments=tuple(f"I{n}" for n in range(instruments)),
            values=MappingProxyType({name: _read_only(unknown) for name in COLUMNS}),
            traded=_read_only(~no),
            hole=_read_only(no),
            refused=_read_only(no),
            z=_read_only(z),
            span=sessions,
        )

    def feature(self, name: str) -> Floats:
        """One feature's z, ``[S, B, N]``."""
        return self.z[NAMES.index(name)]

    @cached_property
    def traded_bars(self) -> TradedBars:
        """Where traded bars stand: for what is taken from the traded bars just before each one."""
        return TradedBars.of(self.traded, self.span)

    def until(self, last: int) -> BarWindow:
        """The sessions before ``last``."""
        return replace(
            self,
            sessions=self.sessions[:last],
            values=MappingProxyType({name: cube[:last] for name, cube in self.values.items()}),
            traded=self.traded[:last],
            hole=self.hole[:last],
            refused=self.refused[:last],
            z=self.z[:, :last],
        )


def _read_only(cube: Any) -> Any:
    view = cube.view()
    view.setflags(write=False)
    return view


class FittedDetector(Protocol):
    """A detector as it was learned from a reference.

    It may also have ``attribution(z)``: for bars' features ``z`` ``[F, P]`` the share of each one in the
    bar's score, ``[P, F]`` on any scale. An explanation then names features by it; without, by how odd each
    is.
    """

    def score(self, bars: BarWindow, span: slice) -> Floats:
        """The statistics of the sessions ``span``, ``[K, s, B, N]``; ``[s, B, N]`` where K is 1.

        Parameters
        ----------
        bars
            Begin well before ``span`` and end with it.
        span
            Places in ``bars.sessions`` of the sessions that are asked for.
        """
        ...

    def parameters(self) -> Mapping[str, Any]:
        """What was learned, for a person to read; JSON must be able to hold it."""
        ...


class Detector(Protocol):
    """A member of the family; what ``DETECTOR`` is. Fitting leaves it as it was."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """What it says of a bar, in the order of its scores."""
        ...

    def fit(self, bars: BarWindow, reference: slice, seed: int) -> FittedDetector:
        """Learn from a reference.

        Parameters
        ----------
        bars
            End with the reference.
        reference
            Places in ``bars.sessions`` of the sessions to learn from.
        seed
            Of all that is drawn: the same seed and bars give the same fit.

        Raises
        ------
        NotEnoughData
            Where the reference is too short: the sessions that would be scored with it have no scores.
        """
        ...
