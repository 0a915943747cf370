from __future__ import annotations

import math
import statistics
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.config import LabelConfig
from nofx_pipelines.errors import PluginError
from nofx_pipelines.labels import compute
from nofx_pipelines.labels.compute import compute_labels
from nofx_pipelines.labels.windows import LabelWindows
from nofx_pipelines.lake.schemas import LABELS

from .strategies import FIRST_DAY, LONG_AFTER, daily_bars, intraday_bars, random_walk, write_kind

SHORT = LabelConfig(horizon=2, sigma_bars=2, barrier_sigmas=1.0)


def _close_of(day: int) -> datetime:
    return datetime.combine(FIRST_DAY + timedelta(days=day), datetime.min.time(), UTC) + timedelta(hours=16)


def test_one_instrument_by_hand() -> None:
    bars = daily_bars({"A": [100.0, 110.0, 100.0, 105.0, 140.0, 80.0]})
    found = compute_labels(bars, SHORT, known_until=LONG_AFTER)
    assert found.schema == pl.Schema(LABELS.columns)
    assert found["forward_return"].to_list()[:4] == pytest.approx(
        [math.log(1.0), math.log(105 / 110), math.log(1.4), math.log(80 / 105)]
    )
    assert found["forward_return"].to_list()[4:] == [None, None]
    # sigma at bar 2: stdev(log 1.1, log(100/110)) = .1348, width .1906: 105 no, 140 up
    # at bar 3: stdev(log(100/110), log 1.05) = .1019, width .1441: 140 up at once
    assert found["barrier"].to_list() == [None, None, 1, 1, None, None]
    assert found["barrier_ts"].to_list() == [None, None, _close_of(4), _close_of(4), None, None]
    assert found["known_at"].to_list() == [_close_of(day) for day in (2, 3, 4, 5)] + [None, None]
    assert found["weight"].to_list() == pytest.approx([0.75, 0.5, 0.5, 0.5, 0.5, 1.0])


def test_the_barrier_widens_with_the_root_of_the_horizon() -> None:
    # sigma = stdev(.1, -.1) = .1414; a move of .17 is beyond it, and within it times root 2
    path = [float(x) for x in 100 * np.exp([0.0, 0.1, 0.0, 0.17, 0.17, 0.0, 0.0])]
    found = compute_labels(daily_bars({"A": path}), SHORT, known_until=LONG_AFTER)
    assert found["barrier"][2] == 0
    assert found["barrier_ts"][2] == _close_of(4)
    at_once = compute_labels(
        daily_bars({"A": path}), LabelConfig(horizon=1, sigma_bars=2), known_until=LONG_AFTER
    )
    assert at_once["barrier"][2] == 1


def test_only_traded_bars_count() -> None:
    gap = daily_bars({"A": [100.0, None, 110.0, 120.0, None, 130.0]})
    found = compute_labels(gap, SHORT, known_until=LONG_AFTER)
    assert found["ts_close"].to_list() == [_close_of(day) for day in (0, 2, 3, 5)]
    assert found["forward_return"].to_list() == pytest.approx([math.log(1.2), math.log(13 / 11), None, None])


def test_bounded_labels_do_not_reach_across_a_suspension() -> None:
    gap = daily_bars({"A": [100.0, None, 110.0, 120.0, 125.0, 130.0], "B": [1.0] * 6})
    found = compute_labels(gap, SHORT, known_until=LONG_AFTER, windows=LabelWindows(ahead=2, back=2))
    of_a = found.filter(instrument_id="A")
    assert of_a["forward_return"].to_list() == pytest.approx(
        [None, math.log(125 / 110), math.log(13 / 12), None, None]
    )
    assert of_a["known_at"].is_null().to_list() == [True, False, False, True, True]
    assert of_a["barrier"].is_null().to_list() == [True, True, True, True, True]


def test_bounded_sigma_does_not_reach_across_a_suspension() -> None:
    path: list[float | None] = [100.0, 103.0, None, None, 101.0, 104.0, 102.0, 105.0, 104.0, 108.0]
    found = compute_labels(daily_bars({"A": path}), SHORT, known_until=LONG_AFTER, windows=LabelWindows(2, 2))
    assert found["barrier"].is_null().to_list() == [True, True, True, True, False, False, True, True]


def test_a_flat_price_has_a_return_and_no_barrier() -> None:
    found = compute_labels(daily_bars({"A": [5.0] * 8}), SHORT, known_until=LONG_AFTER)
    assert found["forward_return"].to_list()[:6] == [0.0] * 6
    assert found["barrier"].null_count() == 8


def test_no_traded_bar_no_label() -> None:
    assert compute_labels(daily_bars({"A": [None, None]}), SHORT, known_until=LONG_AFTER).is_empty()


closes = st.lists(st.one_of(st.none(), st.floats(50.0, 200.0)), min_size=1, max_size=30)
walks = st.builds(
    lambda seed, missing: [None if n in missing else x for n, x in enumerate(random_walk(seed, 80))],
    st.integers(0, 10_000),
    st.sets(st.integers(0, 79), max_size=8),
)


def _naive(
    path: list[float | None], config: LabelConfig
) -> list[tuple[float | None, int | None, int | None]]:
    """Return, barrier and the barrier's day, one row at a time from the definition."""
    traded = [(day, close) for day, close in enumerate(path) if close is not None]
    rows = []
    for t in range(len(traded)):
        window = [close for _, close in traded[max(0, t - config.sigma_bars) : t + 1]]
        ahead = traded[t + 1 : t + 1 + config.horizon]
        if len(ahead) < config.horizon:
            rows.append((None, None, None))
            continue
        moves = [float(np.log(close / traded[t][1])) for _, close in ahead]
        returns = [float(np.log(b / a)) for a, b in pairwise(window)]
        width = math.nan
        if len(returns) == config.sigma_bars:
            width = statistics.stdev(returns) * config.barrier_sigmas * math.sqrt(config.horizon)
        if not width > 1e-12:
            rows.append((moves[-1], None, None))
            continue
        touch = next((k for k, move in enumerate(moves) if abs(move) >= width), None)
        side = 0 if touch is None else int(math.copysign(1, moves[touch]))
        rows.append((moves[-1], side, ahead[-1 if touch is None else touch][0]))
    return rows


@settings(deadline=None)
@given(walks, closes, st.integers(1, 5), st.integers(2, 6), st.floats(0.2, 3.0))
def test_equals_the_definition(
    a: list[float | None], b: list[float | None], horizon: int, sigma_bars: int, sigmas: float
) -> None:
    config = LabelConfig(horizon=horizon, sigma_bars=sigma_bars, barrier_sigmas=sigmas)
    found = compute_labels(daily_bars({"A": a, "B": b}), config, known_until=LONG_AFTER)
    for name, path in (("A", a), ("B", b)):
        rows = found.filter(instrument_id=name).select("forward_return", "barrier", "barrier_ts").rows()
        expected = _naive(path, config)
        assert [row[0] for row in rows] == pytest.approx([row[0] for row in expected], abs=1e-12)
        assert [row[1] for row in rows] == [row[1] for row in expected]
        days = [None if row[2] is None else (row[2].date() - FIRST_DAY).days for row in rows]
        assert days == [row[2] for row in expected]


@settings(deadline=None)
@given(closes, st.integers(0, 30), st.one_of(st.none(), st.just(LabelWindows(3, 6))))
def test_what_is_known_never_moves_and_the_rest_is_null(
    path: list[float | None], day: int, windows: LabelWindows | None
) -> None:
    bars = daily_bars({"A": path, "B": [1.0] * len(path)})
    config, cut = LabelConfig(horizon=3, sigma_bars=2), _close_of(day)
    whole = compute_labels(bars, config, known_until=LONG_AFTER, windows=windows)
    at_cut = compute_labels(bars, config, known_until=cut, windows=windows)
    only_past = compute_labels(
        bars.filter(pl.col("ts_close") <= cut), config, known_until=cut, windows=windows
    )
    assert at_cut.equals(only_past)
    known = at_cut.filter(pl.col("known_at").is_not_null())
    assert known.equals(whole.filter(pl.col("known_at") <= cut))
    unknown = at_cut.filter(pl.col("known_at").is_null())
    assert (
        unknown.select("forward_return", "barrier", "barrier_ts").null_count().row(0) == (len(unknown),) * 3
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(closes, min_size=2, max_size=4), st.integers(0, 29), st.integers(1, 4))
def test_a_session_alone_equals_the_full_history(
    paths: list[list[float | None]], day: int, horizon: int
) -> None:
    config = LabelConfig(horizon=horizon, sigma_bars=3)
    windows = LabelWindows.of(config, 1)
    bars = daily_bars({f"I{n}": path for n, path in enumerate(paths)})
    session = FIRST_DAY + timedelta(days=day)
    whole = compute_labels(bars, config, known_until=LONG_AFTER, windows=windows)
    near = pl.col("session_date").is_between(
        session - timedelta(days=windows.back), session + timedelta(days=windows.ahead)
    )
    alone = compute_labels(bars.filter(near), config, known_until=LONG_AFTER, windows=windows)
    assert alone.filter(session_date=session).equals(whole.filter(session_date=session))


def test_whatever_a_kind_answers_the_rest_is_the_pipeline_s(tmp_path: Path) -> None:
    config = write_kind(tmp_path, "Labelled(np.ones(n), np.ones(n, np.int8), np.ones(n, np.int64))")
    path: list[float | None] = [100.0, None, 110.0, 120.0, 125.0, 130.0]
    bars = daily_bars({"A": path, "B": [1.0] * 6})
    windows = LabelWindows(ahead=2, back=4)
    known_until = _close_of(4)
    mine = compute_labels(bars, config, known_until=known_until, windows=windows, folder=tmp_path)
    default = compute_labels(
        bars, replace(config, kind="triple_barrier"), known_until=known_until, windows=windows
    )
    same = ("instrument_id", "ts_close", "session_date", "weight", "known_at")
    assert mine.select(same).equals(default.select(same))
    for name, values in (("forward_return", [None, 1.0, None, None]), ("barrier", [None, 1, None, None])):
        assert mine.filter(instrument_id="A")[name].to_list() == values
        assert mine.filter(instrument_id="B")[name].to_list() == [values[1]] * 3 + [None] * 2
    assert mine.filter(instrument_id="A")["barrier_ts"].to_list() == [None, _close_of(3), None, None]


def test_a_kind_s_unknown_is_null_and_a_side_of_none_too(tmp_path: Path) -> None:
    config = write_kind(tmp_path, "Labelled(np.where(np.arange(n) == 1, np.nan, 2.0))")
    frame = compute_labels(daily_bars({"A": [1.0] * 5}), config, known_until=LONG_AFTER, folder=tmp_path)
    assert frame["forward_return"].to_list() == [2.0, None, 2.0, None, None]
    assert frame["known_at"].null_count() == 2
    assert frame["barrier"].null_count() == frame["barrier_ts"].null_count() == 5


def test_a_kind_that_fails_is_named(tmp_path: Path) -> None:
    config = write_kind(tmp_path, "Labelled(np.ones(n + 1))")
    with pytest.raises(PluginError, match=r"plug-in 'mine:LABEL' .* of shape \(3,\), one a row"):
        compute_labels(daily_bars({"A": [1.0] * 5}), config, known_until=LONG_AFTER, folder=tmp_path)


@pytest.mark.parametrize("block", [1, 40, 100])
def test_blocks_of_rows_give_the_same_labels(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path: list[float | None] = [None if n % 7 in (2, 3) else x for n, x in enumerate(random_walk(5, 90))]
    bars, windows = daily_bars({"A": path, "B": list(random_walk(6, 30))}), LabelWindows(3, 12)
    config = LabelConfig(horizon=3, sigma_bars=6)
    whole = compute_labels(bars, config, known_until=LONG_AFTER, windows=windows)
    monkeypatch.setattr(compute, "_BLOCK", block)
    assert compute_labels(bars, config, known_until=LONG_AFTER, windows=windows).equals(whole)


def test_instruments_do_not_touch_each_other() -> None:
    paths: dict[str, list[float | None]] = {
        name: list(random_walk(seed, 60)) for seed, name in enumerate("ABC")
    }
    together = compute_labels(daily_bars(paths), LabelConfig(), known_until=LONG_AFTER)
    for name, path in paths.items():
        alone = compute_labels(daily_bars({name: path}), LabelConfig(), known_until=LONG_AFTER)
        assert together.filter(instrument_id=name).equals(alone)
    shuffled = daily_bars(paths).sample(fraction=1.0, shuffle=True, seed=1)
    assert compute_labels(shuffled, LabelConfig(), known_until=LONG_AFTER).equals(together)


def test_intraday_labels_cross_into_the_next_session() -> None:
    bars = intraday_bars(list(random_walk(3, 40)), bars_per_session=10)
    config = LabelConfig(horizon=5, sigma_bars=4)
    windows = LabelWindows.of(config, 10)
    found = compute_labels(bars, config, known_until=LONG_AFTER, windows=windows)
    assert found["known_at"].null_count() == 5
    sixth = found.row(5, named=True)
    assert (sixth["session_date"], sixth["known_at"].date()) == (FIRST_DAY, date(2024, 1, 2))


def test_the_planned_sizes_are_fast() -> None:
    started = time.process_time()
    daily = {f"I{n:02}": list(random_walk(n, 750)) for n in range(30)}
    bars = daily_bars(daily)  # type: ignore[arg-type]
    built = time.process_time()
    compute_labels(bars, LabelConfig(), known_until=LONG_AFTER, windows=LabelWindows(5, 40))
    # labels cost less than making the input, a ratio in the same run
    assert time.process_time() - built < built - started
