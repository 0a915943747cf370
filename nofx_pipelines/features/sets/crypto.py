"""``crypto``: who takes, what funding costs, how far a perpetual is from its index.

Taker figures come with the bars of exchanges; ``funding_rate`` and ``index_price`` are columns that bars of
perpetuals may have, features of them are missing where they are.
"""

from __future__ import annotations

from nofx_pipelines.features.algebra.functions import (
    amount,
    close,
    funding_rate,
    index_price,
    n_trades,
    rolling_mean,
    rolling_std,
    rolling_sum,
    taker_amount,
    taker_volume,
    volume,
)
from nofx_pipelines.features.program.declaration import Feature, FeatureSet

_BASIS = close / index_price - 1
_TRADE = amount / n_trades


def _imbalance(n: int) -> Feature:
    return Feature(
        f"taker_imbalance_{n}",
        2 * rolling_sum(taker_volume, n) / rolling_sum(volume, n) - 1,
        "ratio",
        f"Taker buys less taker sells to all volume, {n} bars.",
        True,
    )


FEATURES = FeatureSet(
    "crypto",
    (
        Feature(
            "taker_imbalance",
            2 * taker_volume / volume - 1,
            "ratio",
            "Taker buys less sells to volume.",
            True,
        ),
        _imbalance(12),
        _imbalance(48),
        Feature(
            "taker_price",
            (taker_amount / taker_volume) / (amount / volume) - 1,
            "ratio",
            "What takers paid to what all paid, less 1.",
            True,
        ),
        Feature(
            "trade_size",
            _TRADE / rolling_mean(_TRADE, 48) - 1,
            "ratio",
            "Mean trade to that of 48 bars, less 1.",
            True,
        ),
        Feature("funding", funding_rate, "ratio", "Funding rate of the period.", True),
        Feature("funding_mean_21", rolling_mean(funding_rate, 21), "ratio", "Mean funding of 21 bars.", True),
        Feature("basis", _BASIS, "ratio", "Price to index, less 1.", True),
        Feature(
            "basis_score",
            (_BASIS - rolling_mean(_BASIS, 48)) / rolling_std(_BASIS, 48),
            "ratio",
            "Basis in standard deviations of 48 bars.",
            True,
        ),
    ),
)
"""9 features."""
