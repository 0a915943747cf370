"""``cross_section``: an instrument against its market and its sector.

The market's return is the mean over all instruments of one ``ts_close``, the sector's over those of one
sector; with too few of them it is missing, as is everything of an instrument whose sector is not known.
"""

from __future__ import annotations

from nofx_pipelines.features.algebra.expr import Expr
from nofx_pipelines.features.algebra.functions import (
    amount,
    close,
    cross_mean,
    demean,
    log,
    neutralise,
    rank,
    ref,
    rolling_beta,
    rolling_beta_residual,
    rolling_corr,
    rolling_mean,
    rolling_std,
    rolling_sum,
    sector,
    zscore,
)
from nofx_pipelines.features.program.declaration import Feature, FeatureSet

_RETURN, _MONTH = log(close / ref(close, 1)), log(close / ref(close, 20))
_MARKET, _SECTOR = cross_mean(_RETURN, 3), cross_mean(_RETURN, 2, group=sector)
_OWN, _OWN_IN_SECTOR = (rolling_beta_residual(m, _RETURN, 60) for m in (_MARKET, _SECTOR))
_SIZE = log(rolling_mean(amount, 20))


def _of(name: str, expr: Expr, unit: str, description: str) -> Feature:
    return Feature(name, expr, unit, description, scale_free=True)


FEATURES = FeatureSet(
    "cross_section",
    (
        _of("market_beta_60", rolling_beta(_MARKET, _RETURN, 60), "ratio", "Beta to the market, 60 bars."),
        _of("market_corr_60", rolling_corr(_MARKET, _RETURN, 60), "ratio", "Correlation with it, 60 bars."),
        _of("market_residual", _OWN, "return", "Log return that the market does not explain."),
        _of("residual_return_20", rolling_sum(_OWN, 20), "return", "Its sum over 20 bars."),
        _of("residual_volatility_20", rolling_std(_OWN, 20), "return", "Its deviation over 20 bars."),
        _of("sector_beta_60", rolling_beta(_SECTOR, _RETURN, 60), "ratio", "Beta to the sector, 60 bars."),
        _of("sector_residual", _OWN_IN_SECTOR, "return", "Log return that the sector does not explain."),
        _of("return_less_market", demean(_RETURN, 3), "return", "Log return less the market's."),
        _of(
            "return_less_sector", demean(_RETURN, 2, group=sector), "return", "Log return less the sector's."
        ),
        _of("return_score", zscore(_RETURN), "ratio", "Log return in the cross-section's deviations."),
        _of("rank_in_sector_20", rank(_MONTH, 2, group=sector), "rank", "Rank of 20 bars in the sector."),
        _of(
            "return_20_without_size", neutralise(_MONTH, _SIZE), "return", "20 bars less what size explains."
        ),
    ),
)
"""12 features."""
