"""Cross-sectional ranks against the definition."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.features.execution.cross_section import rank

cells = st.tuples(st.integers(0, 4), st.one_of(st.just(float("nan")), st.integers(-3, 3).map(float)))


@settings(deadline=None)
@given(st.lists(cells, max_size=40), st.integers(2, 6))
def test_rank_is_the_mean_place_among_the_valid(rows: list[tuple[int, float]], least: int) -> None:
    groups = np.array([g for g, _ in rows], np.int64)
    values = np.array([v for _, v in rows])
    got = rank(values, groups, least)
    for k, (group, value) in enumerate(rows):
        peers = [v for g, v in rows if g == group and v == v]
        if value != value or len(peers) < least:
            assert np.isnan(got[k])
            continue
        below, equal = sum(v < value for v in peers), sum(v == value for v in peers)
        place = below + (equal - 1) / 2
        assert abs(got[k] - (place / (len(peers) - 1) - 0.5)) < 1e-15
