"""The front against an exhaustive search."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.nas.pareto import pareto

POINTS = st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 5)), min_size=1, max_size=12)


def _trials(points: list[tuple[int, int]], fidelity: float = 0.5) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "trial": list(range(len(points))),
            "values": [[float(ic), float(size)] for ic, size in points],
            "n_params": [size for _, size in points],
            "fidelity": [fidelity] * len(points),
        }
    )


@given(POINTS)
def test_it_holds_what_no_other_beats_and_of_equals_the_earliest(points: list[tuple[int, int]]) -> None:
    def beaten(k: int) -> bool:
        ic, size = points[k]
        return any(
            ((a, -b) != (ic, -size) and a >= ic and b <= size) or ((a, b) == (ic, size) and other < k)
            for other, (a, b) in enumerate(points)
        )

    expected = sorted((k for k in range(len(points)) if not beaten(k)), key=lambda k: points[k][1])
    assert pareto(_trials(points))["trial"].to_list() == expected


def test_finalists_and_failed_trials_are_left_out() -> None:
    trials = pl.concat([_trials([(1, 2)]), _trials([(3, 1)], fidelity=1.0)])
    failed = _trials([(9, 1)]).with_columns(pl.lit(None, dtype=pl.List(pl.Float64)).alias("values"))
    assert pareto(pl.concat([trials, failed]))["n_params"].to_list() == [2]
