"""Which units a file's volumes and amounts are in, by the self-test k = median(amount / volume / close)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nofx_pipelines.market.sources.files.layout import Layout, Units

_CANDIDATES = {
    "cn": (Units(), Units(100.0, 1.0), Units(100.0, 1_000.0), Units(1.0, 1_000.0), Units(100.0, 10_000.0)),
    "hk": (Units(), Units(1.0, 1_000.0)),
    "crypto": (Units(), Units(1.0, 1_000.0)),
}
_NEAR = 0.45
"""Half a decade: adjusted prices move k by less."""
_EXACT = 0.05
_QUOTE_PER_MINUTE = 1e9
"""No instrument trades this much quote currency in its median minute."""


@dataclass(frozen=True)
class UnitEvidence:
    """What the rows of one instrument show.

    ``k`` over all bars, over the newest sixty and its 5 % and 95 % quantiles; notional a minute.
    """

    k: float | None
    k_newest: float | None
    k_low: float | None
    k_high: float | None
    notional_per_minute: float | None


@dataclass(frozen=True)
class UnitDecision:
    """The units taken, and why; ``volume_is_quote`` when the volume column holds quote currency."""

    units: Units
    evidence: str
    volume_is_quote: bool = False


def decide(layout: Layout, seen: UnitEvidence, *, market: str, asset_class: str) -> UnitDecision:
    """The format's units, unless k says otherwise.

    >>> in_lots = UnitEvidence(100.0, 100.0, 100.0, 100.0, None)
    >>> decide(Layout("own", {}), in_lots, market="cn", asset_class="equity").units.volume
    100.0
    """
    documented = layout.units
    if seen.k is None or seen.k_newest is None:
        return _without_amount(layout, seen, market)
    shown = _shown(seen)
    if asset_class == "index":
        return UnitDecision(documented, f"{shown}; an index level is no price, the format's units stand")
    if not _far(seen.k, documented.k, _NEAR):
        return UnitDecision(documented, f"{shown}, the format's units give {documented.k:g}")
    exact = [each for each in _CANDIDATES[market] if not _far(seen.k, each.k, _EXACT)]
    if exact and not _far(seen.k, seen.k_newest, _EXACT):
        return UnitDecision(
            exact[0], f"{shown} where the format's units give {documented.k:g}: units taken from k"
        )
    return UnitDecision(documented, f"{shown} fits no unit; the format's units ({documented.k:g}) stand")


def describe(units: Units, *, volume_is_quote: bool, currency: str, shares: str) -> str:
    """Units in words, as a decision shows them."""
    if volume_is_quote:
        return f"volume column in {currency}; {shares} = volume / mean of the four prices"
    volume = shares if units.volume == 1 else f"lots of {units.volume:g} {shares}"
    amount = currency if units.amount == 1 else f"{units.amount:g} {currency}"
    return f"volume in {volume}, amount in {amount}"


def _without_amount(layout: Layout, seen: UnitEvidence, market: str) -> UnitDecision:
    notional = seen.notional_per_minute
    if (
        market == "crypto"
        and not layout.units_documented
        and notional is not None
        and notional > _QUOTE_PER_MINUTE
    ):
        evidence = (
            f"volume x close would be {notional:.3g} a median minute, above {_QUOTE_PER_MINUTE:.0e}: "
            "the column can only be quote currency"
        )
        return UnitDecision(layout.units, evidence, volume_is_quote=True)
    return UnitDecision(layout.units, "no amounts, so k cannot be tested; taken as the format says")


def _shown(seen: UnitEvidence) -> str:
    text = f"k = {seen.k:.4g}"
    if seen.k_low and seen.k_high and _far(seen.k_low, seen.k_high, 0.01):
        text += f" (5-95 %: {seen.k_low:.4g}..{seen.k_high:.4g}; newest {seen.k_newest:.4g})"
    return text


def _far(one: float, other: float, decades: float) -> bool:
    return one <= 0 or other <= 0 or abs(math.log10(one / other)) > decades
