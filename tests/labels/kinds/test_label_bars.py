from __future__ import annotations

import math
import statistics
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.labels.kinds.bar_path import BarPath
from nofx_pipelines.labels.kinds.label_bars import LabelBars

CONFIG = LabelConfig(horizon=2, sigma_bars=3)


@st.composite
def instruments(draw: st.DrawFn) -> tuple[BarPath, int]:
    """Bars of one instrument with sessions left out, and where its rows are cut into two blocks."""
    gaps = draw(st.lists(st.sampled_from([0, 1, 1, 1, 2, 9]), min_size=4, max_size=40))
    config = LabelConfig(horizon=draw(st.integers(1, 3)), sigma_bars=draw(st.integers(2, 6)))
    close = np.exp(np.linspace(0.0, 1.0, len(gaps)) + 0.1 * np.sin(np.arange(len(gaps)) ** 2))
    limit = draw(st.sampled_from([math.inf, 3, 8]))
    path = BarPath({"close": close, "volume": 1e3 * close}, config, np.cumsum(gaps), limit)
    return path, draw(st.integers(0, max(0, len(gaps) - config.horizon)))


@settings(deadline=None)
@given(instruments())
def test_each_row_sees_its_own_bars_and_no_others(given: tuple[BarPath, int]) -> None:
    path, cut = given
    close, session, config = path.columns["close"].tolist(), path.session.tolist(), path.config
    rows = max(0, len(close) - config.horizon)
    for first, stop in ((0, cut), (cut, rows)):
        bars = LabelBars(path, first, stop)
        ahead, back, sigma = bars.ahead("close"), bars.back("close"), bars.sigma
        assert ahead.shape == (len(bars), config.horizon + 1)
        assert back.shape == (len(bars), config.sigma_bars + 1)
        for n, t in enumerate(range(first, stop)):
            assert ahead[n].tolist() == close[t : t + config.horizon + 1]
            visible = [
                close[b] if b >= 0 and session[t] - session[b] <= path.sessions_back else math.nan
                for b in range(t - config.sigma_bars, t + 1)
            ]
            assert np.array_equal(back[n], visible, equal_nan=True)
            returns = [math.log(b / a) for a, b in pairwise(visible)]
            expected = math.nan if math.isnan(sum(visible)) else statistics.stdev(returns)
            assert sigma[n] == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_what_a_label_is_given_is_its_own_to_change() -> None:
    bars = LabelBars.of(CONFIG, close=np.arange(1.0, 9.0), volume=np.ones(8))
    for _ in range(2):
        assert bars.ahead("close")[0].tolist() == [1.0, 2.0, 3.0]
        assert bars.back("volume")[-1].tolist() == [1.0] * 4
        assert bars.sigma[3] > 0
        for array in (bars.ahead("close"), bars.back("volume"), bars.sigma):
            array[:] = 0.0


def test_a_row_has_the_same_sum_whatever_rows_are_beside_it() -> None:
    """Bit for bit: the leak check compares so, and sessions are labelled apart or together."""
    config = LabelConfig(horizon=40, sigma_bars=60)
    close = np.exp(np.random.default_rng(0).normal(size=400))
    path = BarPath({"close": close}, config, np.arange(400))
    together = LabelBars(path, 60, 360)
    for first, stop in ((77, 78), (200, 203), (355, 360)):
        alone = LabelBars(path, first, stop)
        for whole, part in (
            (together.ahead("close"), alone.ahead("close")),
            (together.back("close"), alone.back("close")),
        ):
            for statistic in (np.sum, np.std, np.median):
                same = statistic(whole, axis=1)[first - 60 : stop - 60]
                assert np.isfinite(same).all()
                assert statistic(part, axis=1).tobytes() == same.tobytes()


def test_a_column_that_is_not_there_is_named() -> None:
    bars = LabelBars.of(CONFIG, close=np.ones(9))
    with pytest.raises(ValueError, match=r"looks at hihg; the bars have close: name one of open, high, low"):
        bars.ahead("hihg")


def test_too_few_bars_leave_no_row() -> None:
    bars = LabelBars.of(CONFIG, close=np.ones(2))
    assert len(bars) == 0
    assert (bars.ahead("close").shape, bars.back("close").shape) == ((0, 3), (0, 4))


def test_a_row_is_named_by_its_number_among_the_instrument_s_bars() -> None:
    closes = np.array(["2024-01-02T07:00", "2024-01-03T07:00", "2024-01-04T07:00"], dtype="datetime64[s]")
    path = BarPath({"close": np.ones(3)}, CONFIG, np.arange(3), math.inf, "CN.SSE.600519", closes)
    named = "CN.SSE.600519, row 2, bar that closed at 2024-01-04T07:00:00 UTC"
    assert LabelBars(path, 1, 3).describe(1) == LabelBars(path, 2, 3).describe(0) == named
