"""Why a bar scored: the loudest detector and channel, and the three features that say most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.anomaly.conditioning import CHANNELS, FEATURES, NAMES
from nofx_pipelines.anomaly.detectors.rules import CHANNEL, RULES
from nofx_pipelines.anomaly.ensemble import Evidence, Reference, Scores, forest_rows
from nofx_pipelines.anomaly.panel import Floats

SHOWN = 3
"""Features in an explanation."""
EXPECTED = 0.99
"""Share of ordinary bars within the expected interval."""
VECTOR = (*NAMES, *RULES)
"""What a bar's vector holds: each feature's signed -log10 p, and that of each rule."""


@dataclass(frozen=True)
class Place:
    """One bar: its session, slot and instrument in a panel."""

    session: int
    slot: int
    instrument: int

    @property
    def index(self) -> tuple[int, int, int]:
        """The bar's index in a cube ``[S, B, N]``."""
        return (self.session, self.slot, self.instrument)


def explain(
    reference: Reference, seen: Evidence, scores: Scores, rows: pl.DataFrame, places: list[Place]
) -> pl.DataFrame:
    """The evidence (ANOMALY_EVIDENCE) of the bars at ``places``; ``rows`` are their keys, in order."""
    z = seen.conditioned.z
    credit = _credits(reference, z, places)
    found = [_bar(reference, seen, scores, z, place, credit[k]) for k, place in enumerate(places)]
    schema: dict[str, Any] = {
        "score": pl.Float64,
        "channel": pl.String,
        "detector": pl.String,
        "rule": pl.String,
        "explanation": pl.List(pl.Struct(EXPLANATION)),
        "vector": pl.List(pl.Float64),
    }
    return rows.hstack(pl.DataFrame(found, schema=schema, orient="row"))


EXPLANATION: dict[str, Any] = {
    "feature": pl.String,
    "value": pl.Float64,
    "expected_low": pl.Float64,
    "expected_high": pl.Float64,
    "contribution": pl.Float64,
}
"""Fields of one feature of an explanation; ``contribution`` is its signed -log10 p."""


def _credits(reference: Reference, z: Floats, places: list[Place]) -> Floats:
    """What each feature took off the forest's paths, ``[P, F]``."""
    if not places:
        return np.zeros((0, len(NAMES)))
    cells = np.stack([z[(slice(None), *place.index)] for place in places], axis=1)  # [F, P]
    return reference.forest.attribution(
        forest_rows(cells[:, :, None, None], np.ones((len(places), 1, 1), bool))
    )


def _bar(
    reference: Reference, seen: Evidence, scores: Scores, z: Floats, place: Place, credit: Floats
) -> tuple[Any, ...]:
    at = (slice(None), *place.index)
    features = np.nan_to_num(scores.feature[(slice(None), *at)])  # [2, F]
    rules, channels = scores.rule[at], np.nan_to_num(scores.channel[at])
    forest = float(np.nan_to_num(scores.forest[place.index]))
    sign = np.sign(np.nan_to_num(z[at]))
    size = features.max(axis=0)
    if forest > channels.max():
        order = np.argsort(-credit, kind="stable")
        channel, detector = FEATURES[int(order[0])].channel, "isolation_forest"
    else:
        order = np.argsort(-size, kind="stable")
        channel = CHANNELS[int(channels.argmax())]
        detector = _detector(channel, features, rules)
    rule = RULES[int(rules.argmax())] if rules.max() > 0 else None
    return (
        float(scores.ensemble[place.index]),
        channel,
        detector,
        rule if detector == "rules" else None,
        [_line(reference, seen, place, int(f), float(sign[f] * size[f])) for f in order[:SHOWN]],
        [*(sign * size).tolist(), *rules.tolist()],
    )


def _detector(channel: str, features: Floats, rules: Floats) -> str:
    """Which detector is the loudest in ``channel``."""
    own = [f for f, spec in enumerate(FEATURES) if spec.channel == channel]
    broken = [r for r, name in enumerate(RULES) if CHANNEL[name] == channel]
    heard = {
        "rules": max((float(rules[r]) for r in broken), default=-1.0),
        "robust_z": max((float(features[0, f]) for f in own), default=-1.0),
        "ewma": max((float(features[1, f]) for f in own), default=-1.0),
    }
    return max(heard, key=lambda name: heard[name])


def _line(reference: Reference, seen: Evidence, place: Place, f: int, contribution: float) -> dict[str, Any]:
    """One feature of an explanation: its value, where it was expected, and how much it says."""
    known = seen.conditioned
    value, center, scale = (
        float(cube[(f, *place.index)]) for cube in (known.value, known.center, known.scale)
    )
    tail = reference.tails[0][f]
    reach = tail.quantile(-np.log10(1 - EXPECTED)) if tail is not None else 0.0
    ends = (value, center - reach * scale, center + reach * scale)
    shown = [number if np.isfinite(number) else None for number in ends]
    return {
        "feature": NAMES[f],
        "value": shown[0],
        "expected_low": shown[1],
        "expected_high": shown[2],
        "contribution": contribution,
    }
