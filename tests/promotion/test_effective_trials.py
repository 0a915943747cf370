"""How many independent trials a study counts for."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.promotion.contest import effective_trials

UNIVERSE = UniverseConfig("cn", "cn", "1d")


def trials(*values: list[float] | None) -> pl.DataFrame:
    return pl.DataFrame({"values": list(values)}, schema={"values": pl.List(pl.Float64)})


def test_alike_trials_count_as_fewer() -> None:
    found = effective_trials([trials([0.1, 0.2, 0.3, 0.6], [0.1, 0.2, 0.5, 0.8], None, None)], UNIVERSE)
    assert found.count == pytest.approx(0.7 + 0.3 * 4)
    assert found.sharpe_variance == pytest.approx(np.var([0.3, 0.5], ddof=1) * 250 / 5, rel=0.05)


def test_unknown_or_opposite_likeness_counts_every_trial() -> None:
    assert effective_trials([trials([0.1, 0.2, 0.3], [0.1, 0.2, 0.4])], UNIVERSE).count == 2
    assert effective_trials([trials([0.1, 0.2, 0.3, -0.5], [0.1, 0.2, 0.4, -0.5])], UNIVERSE).count == 2
    alone = effective_trials([trials([0.1, 0.2, 0.3]), trials()], UNIVERSE)
    assert (alone.count, alone.sharpe_variance) == (1, None)


def test_families_add_up() -> None:
    boosted = trials([0.1, 0.2, 0.3, 0.6], [0.1, 0.2, 0.5, 0.8], None, None)
    networks = trials([0.1, 900.0, 0.1, 0.2], [0.1, 50.0, 0.9, 0.4])
    both = effective_trials([boosted, networks], UNIVERSE)
    alone = effective_trials([boosted], UNIVERSE), effective_trials([networks], UNIVERSE)
    assert both.count == pytest.approx(alone[0].count + alone[1].count)
    assert both.sharpe_variance == pytest.approx(np.var([0.3, 0.5, 0.1, 0.9], ddof=1) * 250 / 5, rel=0.05)
