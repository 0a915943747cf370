from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.labels.windows import LabelWindows, horizon_sessions


@settings(deadline=None)
@given(st.integers(1, 600), st.integers(1, 400), st.integers(0, 399))
def test_reach_of_the_last_bar_of_a_full_session(horizon: int, per_session: int, bar: int) -> None:
    bar %= per_session
    reached = (bar + horizon) // per_session
    assert reached <= horizon_sessions(horizon, per_session)
    assert (per_session - 1 + horizon) // per_session == horizon_sessions(horizon, per_session)


def test_looking_back_covers_the_labels_that_overlap() -> None:
    windows = LabelWindows.of(LabelConfig(horizon=60, sigma_bars=2), bars_per_session=1)
    assert windows.back >= windows.ahead
