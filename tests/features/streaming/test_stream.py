"""The stream against the batch: the same bits, whatever comes when."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from time import sleep

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nofx_pipelines.errors import FeatureError, IntegrityError
from nofx_pipelines.features import FeatureSet, close, compute, ema, feature_set, rank, ref, rolling_mean
from nofx_pipelines.features.execution.generated import Generated, _one_process
from nofx_pipelines.features.execution.numba_engine import plan_of
from nofx_pipelines.features.streaming.instrument_state import LANES, StateTiles, lanes_of
from nofx_pipelines.features.streaming.stream import BACK, BACK_OF_FEW, Stream
from tests.features.worlds import EVERY, YEAR, numbers, random_bars, same_bits, set_of

NAMES = [f"CN.SSE.{600000 + i}" for i in range(6)]
ALONE = FeatureSet(
    "alone", tuple(f for f in EVERY.features if f.expr.stage == 0 and "rank" not in repr(f.expr))
)
"""Those that look at one instrument."""
ALONE = FeatureSet(
    "alone",
    tuple(f for f in ALONE.features if not any(w in repr(f.expr) for w in ("zscore", "demean", "neutral"))),
)


def moments(bars: pl.DataFrame) -> list[pl.DataFrame]:
    return bars.sort("ts_close").partition_by("ts_close", maintain_order=True)


def streamed(stream: Stream, bars: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([stream.update(part) for part in moments(bars)])


def batch(bars: pl.DataFrame, features: FeatureSet = EVERY) -> pl.DataFrame:
    return compute(bars, features, bars_per_year=YEAR).frame


@pytest.mark.parametrize("instruments", [1, 6, 70])
def test_moment_by_moment_is_the_batch(instruments: int) -> None:
    """Six have a tile each, seventy share two; with gaps, missing cells and listings on the way."""
    bars = random_bars(instruments, 90, suspended=0.15, missing=0.05, flat=0.1)
    stream = Stream(EVERY, bars["instrument_id"].unique().to_list(), bars_per_year=YEAR)
    same_bits(streamed(stream, bars), batch(bars))


def test_tiles_are_about_as_large_and_an_odd_number_of_lines_wide() -> None:
    for instruments in range(17, 3_000):
        w = lanes_of(instruments)
        assert w % 16 == 8
        assert w <= LANES
        tiles = -(-instruments // w)
        assert tiles == -(-instruments // LANES)
        assert tiles * w - instruments < 16 * tiles
    assert [lanes_of(instruments) for instruments in (0, 1, 16)] == [1, 1, 1]


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six tiles by one thread, two and five, of features that look across instruments too."""
    monkeypatch.setattr("nofx_pipelines.features.streaming.instrument_state.LANES", 56)
    monkeypatch.setattr("nofx_pipelines.features.streaming.instrument_state._ROWS_A_THREAD", 20)
    bars = random_bars(300, 40, suspended=0.3, missing=0.05)
    names = bars["instrument_id"].unique().to_list()
    alone, *shared = (Stream(EVERY, names, bars_per_year=YEAR, threads=n) for n in (1, 2, 5))
    assert [len(stream.lanes.frame_sets) for stream in (alone, *shared)] == [1, 2, 5]
    found = streamed(alone, bars)
    for stream in shared:
        same_bits(streamed(stream, bars), found)
        assert np.array_equal(stream.state.values, alone.state.values, equal_nan=True)
        assert stream.statistics()["values"].equals(alone.statistics()["values"])


@settings(deadline=None, max_examples=60)
@given(st.lists(numbers(), min_size=1, max_size=4), st.integers(0, 10_000), st.integers(1, 40))
def test_any_expressions_stream_as_they_compute(exprs: list[object], seed: int, step: int) -> None:
    features = set_of(**{f"f{k}": expr for k, expr in enumerate(exprs)})  # type: ignore[arg-type]
    bars = random_bars(4, 60, seed=seed, suspended=0.2, missing=0.1, flat=0.2)
    stream = Stream(features, NAMES[:2], bars_per_year=YEAR)
    days = bars["session_date"].unique().sort().to_list()
    parts = [bars.filter(pl.col("session_date").is_in(days[k : k + step])) for k in range(0, len(days), step)]
    same_bits(pl.concat([stream.update(part) for part in parts]), batch(bars, features))


@pytest.mark.parametrize("name", ["technical", "alpha158", "alpha360"])
def test_every_set_streams_as_it_computes(name: str) -> None:
    features = feature_set(name)
    bars = random_bars(7, 100, suspended=0.1, missing=0.03, flat=0.1)
    stream = Stream(features, bars["instrument_id"].unique().to_list(), bars_per_year=YEAR)
    same_bits(streamed(stream, bars), batch(bars, features))


def test_a_push_is_an_update() -> None:
    bars = random_bars(2, 80, suspended=0, missing=0.1)
    stream = Stream(ALONE, NAMES[:2], bars_per_year=YEAR)
    expected = batch(bars, ALONE)
    for row in bars.sort("ts_close").iter_rows(named=True):
        when = _micros(row["ts_close"])
        bar = np.array([_number(row, name) for name in stream.columns])
        out = stream.push(row["instrument_id"], when, bar)
        key = (pl.col("instrument_id") == row["instrument_id"]) & (pl.col("ts_close") == row["ts_close"])
        wanted = expected.filter(key).select(stream.outputs).fill_null(np.nan).to_numpy()[0]
        assert ((out.view(np.int64) == wanted.view(np.int64)) | (np.isnan(out) & np.isnan(wanted))).all()


def _micros(when: datetime) -> int:
    return int(when.timestamp() * 1e6)


def _number(row: dict[str, object], name: str) -> float:
    if name == "minute_of_day":
        return 7 * 60.0
    return np.nan if row[name] is None else float(row[name])  # type: ignore[arg-type]


def test_the_generated_kernel_has_the_same_bits(tmp_path: Path) -> None:
    """Every operator, written out for one instrument, against the table."""
    stream = Stream(ALONE, ["A"], bars_per_year=YEAR, kernels=tmp_path)
    plain = Stream(ALONE, ["A"], bars_per_year=YEAR)
    assert stream._generated is not None
    assert stream._generated.ready(300)
    rng = np.random.default_rng(0)
    for k in range(300):
        price = 10 + rng.normal()
        cells = {
            "open": price,
            "high": price + rng.random(),
            "low": price - rng.random(),
            "close": price + rng.normal() / 9,
        }
        cells |= {
            "volume": float(rng.integers(1, 9)),
            "amount": rng.random(),
            "minute_of_day": float(k % 5) * 10,
        }
        bar = np.array([np.nan if rng.random() < 0.1 else cells[name] for name in stream.columns])
        a, b = stream.push("A", k, bar).view(np.int64), plain.push("A", k, bar).view(np.int64)
        both_missing = np.isnan(a.view(np.float64)) & np.isnan(b.view(np.float64))
        differ = [n for n, same in zip(stream.outputs, (a == b) | both_missing, strict=True) if not same]
        assert differ == [], f"row {k}"
    with pytest.raises(FeatureError, match="does not come after"):
        stream.push("A", 5, bar)
    again = Generated(stream.plan, tmp_path)
    assert again.kernel is not None, "the cache is found again"


def test_a_kernel_is_compiled_once_however_many_want_it(tmp_path: Path) -> None:
    plan = plan_of(set_of(level=rolling_mean(close, 3)).program)
    first, second = Generated(plan, tmp_path), Generated(plan, tmp_path)
    with _one_process(first.path) as ours:  # as the process does that compiles it
        assert ours
        second.begin()
        assert second._process is None
        assert not second.ready(0.2)
    first.begin()
    assert first.ready(300)
    assert second.ready()
    assert second._process is None


def test_a_changed_kernel_file_is_written_again(tmp_path: Path) -> None:
    stream = Stream(set_of(x=ref(close, 2)), ["A"], bars_per_year=YEAR, kernels=tmp_path)
    assert stream._generated is not None
    path = stream._generated.path
    path.write_text(path.read_text().replace("get(m,", "7.0 * get(m,"))
    again = Generated(stream.plan, tmp_path)
    assert "7.0 *" not in path.read_text()
    assert again.kernel is None


@settings(deadline=None, max_examples=20, phases=[Phase.generate])
@given(st.integers(0, 1_000), st.floats(0.01, 0.3))
def test_late_and_corrected_bars_end_where_the_batch_does(seed: int, share: float) -> None:
    """Some bars come late, some come wrong first and right later."""
    rng = np.random.default_rng(seed)
    bars = random_bars(4, 70, seed=seed, suspended=0.1, missing=0.02)
    stream, known = Stream(EVERY, NAMES[:4], bars_per_year=YEAR, back=int(rng.integers(20, 60))), []
    waiting: list[pl.DataFrame] = []
    for part in moments(bars):
        late = rng.random(part.height) < share
        wrong = part.filter(pl.Series(late)).with_columns(close=pl.col("close") * 1.5)
        drop = rng.random() < 0.5
        known.append(
            stream.update(
                part.filter(pl.Series(~late)) if drop else pl.concat([part.filter(pl.Series(~late)), wrong])
            )
        )
        waiting.append(part.filter(pl.Series(late)))
        if len(waiting) > rng.integers(1, 20):
            known += [stream.update(w) for w in waiting]
            waiting = []
    known += [stream.update(w) for w in waiting]
    latest = pl.concat(known).unique(["instrument_id", "ts_close"], keep="last")
    same_bits(latest, batch(bars))
    same_bits(
        stream.values().select([*latest.columns[0:2], "version", *EVERY.columns]),
        batch(bars)
        .sort("ts_close")
        .group_by("instrument_id")
        .last()
        .select([*latest.columns[0:2], "version", *EVERY.columns]),
    )


def test_corrections_do_not_shorten_what_can_be_corrected() -> None:
    """Any bar since the checkpoint before the last, in any order, after others were."""
    features = set_of(gain=close - ref(close, 3), level=rolling_mean(close, 5))
    bars = random_bars(2, 90, suspended=0)
    stream, days = Stream(features, NAMES[:2], bars_per_year=YEAR, back=20), moments(bars)
    for part in days:
        stream.update(part)
    kept = len(stream.window(NAMES[0], "close", stream.depth).values)
    for back in (1, 2, 15, 21, 1, 19, 8):
        days[-back] = days[-back].with_columns(close=pl.col("close") * 1.01)
        stream.update(days[-back])
        assert len(stream.window(NAMES[0], "close", stream.depth).values) == kept > 40
    same_bits(
        stream.values().select("instrument_id", "ts_close", "gain", "level"),
        batch(pl.concat(days), features)
        .filter(pl.col("ts_close") == pl.col("ts_close").max())
        .select("instrument_id", "ts_close", "gain", "level"),
    )


def test_a_stream_that_grows_keeps_as_much_as_one_of_its_size() -> None:
    features = set_of(gain=close - ref(close, 3))
    bars = random_bars(20, 12, suspended=0)
    names = bars["instrument_id"].unique().sort().to_list()
    few = pl.col("instrument_id").is_in(names[:3])
    stream, days = Stream(features, [], bars_per_year=YEAR), moments(bars)
    parts = [stream.update(part.filter(few)) for part in days[:6]]
    assert stream.back == BACK_OF_FEW
    parts += [stream.update(part) for part in days[6:]]
    assert stream.back == BACK
    assert stream.lanes.depth == stream.depth == Stream(features, names, bars_per_year=YEAR).depth
    came = pl.concat([part.filter(few) for part in days[:6]] + days[6:])
    same_bits(pl.concat(parts), batch(came, features))
    for name in (names[0], names[10]):
        closes = came.filter(instrument_id=name)["close"].to_list()
        window = stream.window(name, "close", len(closes))
        assert (window.values.tolist(), window.full) == (closes, True)


def test_rows_pushed_and_rows_updated_count_alike_to_the_next_checkpoint() -> None:
    days = moments(random_bars(1, 200, suspended=0))
    stream = Stream(set_of(level=rolling_mean(close, 3)), NAMES[:1], bars_per_year=YEAR, back=20)
    for k, day in enumerate(days, start=1):
        if k % 40 in range(2, 20):
            stream.update(day)
        else:
            stream.push(NAMES[0], _micros(day["ts_close"].item()), day["close"].to_numpy())
        assert k - stream.checkpoints[-1].seen[0] <= 20


def test_each_row_has_the_session_that_it_came_with() -> None:
    """Several moments of several instruments in one call, in no order, in sessions of other days."""
    bars = random_bars(3, 4, per_session=3, suspended=0).sample(fraction=1, shuffle=True, seed=3)
    back = pl.duration(days=pl.col("volume").cast(pl.Int64) % 7)
    bars = bars.with_columns(session_date=pl.col("session_date") - back)
    stream = Stream(set_of(same=close), NAMES[:3], bars_per_year=YEAR)
    key = ["instrument_id", "ts_close"]
    wanted = bars.select(*key, "session_date", same="close").sort(key)
    assert stream.update(bars).sort(key).select(wanted.columns).equals(wanted)


def test_an_interrupted_moment_waits_for_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stops the first thread, the others write into the same arrays until they are done."""
    monkeypatch.setattr("nofx_pipelines.features.streaming.instrument_state._ROWS_A_THREAD", 20)
    monkeypatch.setattr("nofx_pipelines.features.streaming.instrument_state.LANES", 56)
    bars = random_bars(120, 3, suspended=0)
    names = bars["instrument_id"].unique().to_list()
    stream = Stream(set_of(level=rolling_mean(close, 2)), names, bars_per_year=YEAR, threads=2)
    days = moments(bars)
    stream.update(days[0])
    before, run, done = stream.values(), StateTiles._run, []

    def stopped(self: StateTiles, frame: NDArray[np.int64]) -> None:
        if frame is self.frames[0]:
            raise KeyboardInterrupt
        sleep(0.2)
        run(self, frame)
        done.append(frame)

    monkeypatch.setattr(StateTiles, "_run", stopped)
    with pytest.raises(KeyboardInterrupt):
        stream.peek(days[1].filter(pl.col("instrument_id").is_in(before["instrument_id"].to_list())))
    assert len(done) == 1
    assert stream.values().equals(before)


def test_nothing_looked_at_ahead_is_nothing() -> None:
    stream = Stream(EVERY, NAMES[:2], bars_per_year=YEAR)
    bars = random_bars(2, 3)
    stream.update(bars)
    found = stream.peek(bars.clear())
    assert found.is_empty()
    assert found.columns == stream.update(bars.clear()).columns


def test_a_bar_too_old_is_refused_and_nothing_has_changed() -> None:
    bars = random_bars(2, 60, suspended=0)
    stream = Stream(EVERY, NAMES[:2], bars_per_year=YEAR, back=10)
    first, rest = moments(bars)[0], moments(bars)[1:]
    for part in rest:
        stream.update(part)
    before = stream.state.values.copy()
    with pytest.raises(FeatureError, match="older than what the stream keeps"):
        stream.update(first)
    np.testing.assert_array_equal(stream.state.values, before)


def test_a_peek_is_the_update_and_leaves_no_trace() -> None:
    bars = random_bars(5, 60, suspended=0.1)
    stream = Stream(EVERY, NAMES[:5], bars_per_year=YEAR)
    for part in moments(bars):
        before, table = stream.state.values.copy(), stream.statistics().drop("mean_us", "worst_us")
        traded = part.filter(pl.col("status") == "traded")
        seen = stream.peek(traded)
        stream.peek(traded.with_columns(close=pl.col("close") * 3))
        np.testing.assert_array_equal(stream.state.values, before)
        assert stream.statistics().drop("mean_us", "worst_us").equals(table)
        same_bits(seen, stream.update(part))


def test_saved_and_loaded_it_goes_on_as_if_nothing_was(tmp_path: Path) -> None:
    bars = random_bars(5, 100, suspended=0.1, missing=0.05)
    parts = moments(bars)
    stream = Stream(EVERY, NAMES[:5], bars_per_year=YEAR)
    out = [stream.update(part) for part in parts[:61]]
    stream.save(tmp_path / "s.stream")
    again = Stream.load(tmp_path / "s.stream", EVERY)
    late = parts[55].with_columns(close=pl.col("close") * 1.01)
    same_bits(stream.update(late), again.update(late))
    out += [again.update(parts[55])]
    out += [again.update(part) for part in parts[61:]]
    same_bits(pl.concat(out).unique(["instrument_id", "ts_close"], keep="last"), batch(bars))


def test_a_file_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "s.stream"
    stream = Stream(feature_set("technical"), NAMES[:1], bars_per_year=YEAR)
    stream.save(path)
    assert Stream.load(path).version == stream.version
    with pytest.raises(FeatureError, match="is of version"):
        Stream.load(path, EVERY)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="checksum"):
        Stream.load(path)
    path.write_bytes(b"x")
    with pytest.raises(IntegrityError, match="begin"):
        Stream.load(path)


def test_a_batch_hands_over(tmp_path: Path) -> None:
    bars = random_bars(5, 90, suspended=0.1)
    cut = sorted(bars["ts_close"].unique())[50]
    past, future = bars.filter(pl.col("ts_close") <= cut), bars.filter(pl.col("ts_close") > cut)
    result = compute(past, EVERY, bars_per_year=YEAR)
    assert result.state is not None
    stream = Stream.from_state(EVERY, result.state, history=past)
    same_bits(pl.concat([result.frame, streamed(stream, future)]), batch(bars))
    back = stream.state
    whole = compute(bars, EVERY, bars_per_year=YEAR).state
    assert whole is not None
    assert (back.rows == whole.rows).all()
    corrected = future.head(1).with_columns(close=pl.col("close") + 1)
    assert stream.update(corrected).height >= 1


def test_what_can_be_looked_at() -> None:
    bars = random_bars(2, 30, suspended=0)
    features = set_of(m=rolling_mean(close, 10), e=ema(close, 3))
    stream = Stream(features, NAMES[:2], bars_per_year=YEAR)
    assert stream.values().is_empty()
    stream.update(bars.filter(pl.col("ts_close") <= sorted(bars["ts_close"].unique())[6]))
    own = bars.filter(pl.col("instrument_id") == NAMES[1]).sort("ts_close")
    window = stream.window(NAMES[1], "close", 10)
    assert not window.full
    np.testing.assert_array_equal(window.values, own["close"].head(7).to_numpy())
    assert not stream.values()["warm"].any()
    stream.update(bars.filter(pl.col("ts_close") > sorted(bars["ts_close"].unique())[6]))
    window = stream.window(NAMES[1], "close", 10)
    assert window.full
    np.testing.assert_array_equal(window.values, own["close"].tail(10).to_numpy())
    assert window.newest_us == _micros(own["ts_close"].max())  # type: ignore[arg-type]
    table = stream.statistics()
    assert table.filter(pl.col("feature") == "m")["values"].item() == batch(bars, features)["m"].count()
    with pytest.raises(FeatureError, match="no window"):
        stream.window("nobody", "close", 3)


def test_across_instruments_there_is_no_push() -> None:
    stream = Stream(set_of(r=rank(close)), ["A"], bars_per_year=YEAR)
    with pytest.raises(FeatureError, match="more than one kernel's pass"):
        stream.push("A", 1, np.array([1.0]))
    with pytest.raises(FeatureError, match="not in the stream"):
        stream.push("B", 1, np.array([1.0]))


def test_another_instrument_joins_on_the_way() -> None:
    bars = random_bars(20, 50, suspended=0.1)
    names = sorted(bars["instrument_id"].unique())
    stream = Stream(EVERY, names[:3], bars_per_year=YEAR)
    parts = moments(bars)
    few = [part.filter(pl.col("instrument_id").is_in(names[:3])) for part in parts[:20]]
    out = [stream.update(part) for part in few] + [stream.update(part) for part in parts[20:]]
    assert stream.lanes.w != 1
    same_bits(pl.concat(out), batch(pl.concat([*few, *parts[20:]])))


def test_bars_close_a_day_apart() -> None:
    assert random_bars(1, 2)["ts_close"].diff().drop_nulls().max() == timedelta(days=1)
