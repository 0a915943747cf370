"""Every operator in the kernel against the oracle, small enough to run uncompiled (see `mutate`)."""

from __future__ import annotations

import polars as pl
import pytest

from nofx_pipelines.features import compute

from .mutate import MUTATIONS, ROOT
from .worlds import EVERY, YEAR, random_bars, same_bits, worst


@pytest.mark.parametrize(("missing", "flat"), [(0.0, 0.0), (0.08, 0.15)])
def test_kernel_and_oracle_agree_on_every_operator(missing: float, flat: float) -> None:
    bars = random_bars(4, 45, suspended=0.1, missing=missing, flat=flat, seed=5)
    ours, oracle = (compute(bars, EVERY, bars_per_year=YEAR, engine=e).frame for e in ("numba", "polars"))  # type: ignore[arg-type]
    gaps = worst(ours, oracle, EVERY.columns)
    assert {name: gap for name, gap in gaps.items() if gap > 1e-9} == {}


def test_parts_are_the_whole() -> None:
    """Rows in blocks of any length: rings, counts and prefixes carried from one to the next."""
    bars = random_bars(3, 40, suspended=0.1, missing=0.1, flat=0.1, seed=6)
    days = bars["session_date"].unique().sort().to_list()
    state, parts = None, []
    for first in range(0, len(days), 3):
        own = bars.filter(pl.col("session_date").is_in(days[first : first + 3]))
        result = compute(own, EVERY, bars_per_year=YEAR, state=state)
        state = result.state
        parts.append(result.frame)
    same_bits(pl.concat(parts), compute(bars, EVERY, bars_per_year=YEAR).frame)


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_line_of_each_mutant_is_there(name: str) -> None:
    path, old, new = MUTATIONS[name]
    source = (ROOT / path).read_text()
    assert old in source
    assert source.replace(old, new, 1) != source
