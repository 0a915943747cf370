from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from polars.testing.parametric import column, dataframes

from nofx_pipelines.errors import IntegrityError, LakeError, OutsideRange, TableNotFound
from nofx_pipelines.lake.schemas import TableSchema
from nofx_pipelines.lake.store import Lake

NEXT = timedelta(days=1)
SESSIONS = [date(2024, 1, 1) + n * NEXT for n in range(8)]
EVERY_TYPE = {
    "row": pl.Int64(),
    "session_date": pl.Date(),
    "text": pl.String(),
    "number": pl.Float64(),
    "small": pl.Int8(),
    "middle": pl.Int32(),
    "flag": pl.Boolean(),
    "at": pl.Datetime("us", "UTC"),
    "raw": pl.Binary(),
    "names": pl.List(pl.String()),
    "numbers": pl.List(pl.Float64()),
    "why": pl.List(pl.Struct({"feature": pl.String(), "value": pl.Float64()})),
}
WIDE = TableSchema("wide", EVERY_TYPE, ("row",), frozenset(set(EVERY_TYPE) - {"row", "session_date"}))
# Delta's times end with the year 9999, and 0001 begins them
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
COLUMNS = [
    column("session_date", dtype=pl.Date, strategy=st.sampled_from(SESSIONS)),
    *(
        column(name, dtype=dtype, allow_null=True, strategy=TIMES if name == "at" else None)
        for name, dtype in EVERY_TYPE.items()
        if name not in ("row", "session_date")
    ),
]


def wide_frames(max_size: int = 30) -> st.SearchStrategy[pl.DataFrame]:
    """Frames of every dtype that the lake's tables use, with nulls, empty lists and nested nulls."""
    frames = dataframes(COLUMNS, max_size=max_size, allow_nan=False)
    return frames.map(
        lambda frame: frame.with_row_index("row").cast({"row": pl.Int64}).select(list(EVERY_TYPE))
    )


@settings(max_examples=40, deadline=None)
@given(frame=wide_frames())
def test_a_write_then_a_read_is_identity(frame, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nofx_pipelines.lake.store.schema_of", lambda name: WIDE)
        table = Lake(tmp_path_factory.mktemp("lake")).table("cn", "wide")
        table.replace(SESSIONS[0], SESSIONS[-1] + NEXT, frame)
        assert_frame_equal(table.scan().collect().sort("row"), frame)
        assert_frame_equal(
            Lake(table.folder.parent.parent).table("cn", "wide").scan().collect().sort("row"), frame
        )


@settings(max_examples=25, deadline=None)
@given(
    before=wide_frames(),
    after=wide_frames(),
    first=st.integers(0, 7),
    length=st.integers(1, 8),
    lazy=st.booleans(),
)
def test_a_range_replace_is_the_range_and_nothing_else(before, after, first, length, lazy, tmp_path_factory):
    start, end = SESSIONS[first], SESSIONS[first] + length * NEXT
    inside = pl.col("session_date").is_between(start, end, closed="left")
    after = after.filter(inside)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nofx_pipelines.lake.store.schema_of", lambda name: WIDE)
        table = Lake(tmp_path_factory.mktemp("lake")).table("cn", "wide")
        table.append(before)
        stamps = table.stamps()
        table.replace(start, end, after.lazy() if lazy else after)
        expected = pl.concat([before.filter(~inside), after]).sort("session_date", "row")
        assert_frame_equal(table.scan().collect().sort("session_date", "row"), expected)
        assert_frame_equal(table.scan(version=0).collect().sort("row"), before)
        for day in set(stamps) - {d for d in SESSIONS if start <= d < end}:
            assert table.stamps()[day] == stamps[day]


def test_delta_readers_see_the_same_rows(lake, labels, days):
    table = lake.table("cn", "labels")
    table.replace(days[0], days[3], labels(days[:3]))
    table.replace(days[1], days[2], labels(days[1:2], weight=2.0))
    seen = pl.DataFrame(DeltaTable(table.folder).to_pyarrow_table()).sort("session_date", "instrument_id")
    assert_frame_equal(seen, table.scan().collect().sort("session_date", "instrument_id"))
    assert_frame_equal(
        pl.read_delta(str(table.folder), version=0), table.scan(version=0).collect(), check_row_order=False
    )


def test_rows_outside_the_range_change_nothing(lake, labels, days):
    table = lake.table("cn", "labels")
    table.replace(days[0], days[2], labels(days[:2]))
    for arguments in (
        {"frame": labels(days[1:4])},
        {"frame": labels(days[1:2]), "inputs": {days[3]: "x"}},
    ):
        with pytest.raises(OutsideRange, match=r"cn/labels: \d sessions, the first .* lie outside"):
            table.replace(days[1], days[2], **arguments)
    with pytest.raises(OutsideRange, match="holds no session"):
        table.replace(days[1], days[1], labels([]))
    assert table.version() == 0
    assert table.verify().whole


def test_a_refused_frame_leaves_no_file(lake, labels, days):
    table = lake.table("cn", "labels")
    for frame in (labels(days[:1]).drop("weight"), labels(days[:1]).lazy().drop("weight")):
        with pytest.raises(LakeError, match="'weight' is missing"):
            table.append(frame)
    assert not table.exists()
    assert [path for path in table.folder.rglob("*") if path.is_file()] == []


def test_tables_that_were_never_written_say_so(lake):
    table = lake.table("cn", "labels")
    assert not table.exists()
    assert table.version() is None
    assert table.excluded_sessions() == []
    for ask in (table.scan, table.verify, table.compact, lambda: table.vacuum([])):
        with pytest.raises(TableNotFound, match="cn/labels was never written"):
            ask()


def test_versions_travel_in_time(lake, labels, days):
    table = lake.table("cn", "labels")
    for number in range(4):
        assert table.replace(days[0], days[1], labels(days[:1], weight=float(number))) == number
    for number in range(4):
        assert table.scan(version=number).collect()["weight"].unique().to_list() == [float(number)]
    with pytest.raises(TableNotFound, match="has no version 4; its newest is 3"):
        table.scan(version=4)


def test_the_range_of_a_scan_is_half_open(lake, labels, days):
    table = lake.table("cn", "labels")
    table.append(labels(days[:5]))
    found = table.scan(start=days[1], end=days[3]).select(pl.col("session_date").unique().sort()).collect()
    assert found.to_series().to_list() == days[1:3]


def test_only_the_files_of_the_range_are_opened(lake, labels, days):
    table = lake.table("cn", "labels")
    for day in days[:4]:
        table.replace(day, day + NEXT, labels([day]))
    damaged, _ = table.checked_files(start=days[3])
    (table.folder / damaged[0].name).write_bytes(b"gone bad")
    fresh = Lake(lake.root).table("cn", "labels")
    assert fresh.scan(start=days[0], end=days[3]).collect().height == 9
    with pytest.raises(IntegrityError, match="differs from the SHA-256"):
        fresh.scan()


def test_a_damaged_session_can_be_written_again_but_not_carried_over(lake, labels, days):
    table = lake.table("cn", "labels")
    table.replace(days[0], days[2], labels(days[:2]))
    file = table.folder / table.checked_files()[0][0].name
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    file.write_bytes(bytes(content))
    assert table.verify().mismatched == (file.name,)
    with pytest.raises(IntegrityError):
        table.replace(days[0], days[1], labels(days[:1]))
    with pytest.raises(IntegrityError):
        table.scan()
    table.replace(days[0], days[2], labels(days[:2], weight=3.0))
    assert table.verify().whole
    assert table.scan().collect()["weight"].unique().to_list() == [3.0]


def test_excluded_sessions_are_left_out(lake, labels, days):
    table, listed = lake.table("cn", "labels"), lake.table("cn", "excluded_sessions")
    table.append(labels(days[:3]))
    lake.table("hk", "labels").append(labels(days[:3]))

    def exclude(name: str, day: date) -> None:
        row = {
            "table": name,
            "session_date": day,
            "rule": "units",
            "reason": "lots",
            "decided_at": datetime(2024, 2, 1, tzinfo=UTC),
        }
        listed.append(pl.DataFrame([row], schema=listed.schema.columns))

    exclude("bars", days[0])
    assert table.scan().collect().height == 9
    exclude("labels", days[1])
    assert sorted(table.scan().collect()["session_date"].unique()) == [days[0], days[2]]
    assert table.excluded_sessions() == [days[1]]
    assert lake.table("hk", "labels").scan().collect().height == 9
    assert table.scan(version=0, exclusions=0).collect().height == 9
    assert len(table.stamps()) == 3  # what is stored is stored


def test_knowledge_time_hides_what_was_not_known_yet(lake):
    table = lake.table("cn", "corporate_actions")
    rows = [
        {
            "instrument_id": "a",
            "ex_date": date(2024, 1, n),
            "kind": "split",
            "ratio": 2.0,
            "source": "s",
            "knowledge_time": datetime(2024, 1, n, tzinfo=UTC),
        }
        for n in (1, 2, 3)
    ]
    table.append(pl.DataFrame(rows, schema=table.schema.columns))
    assert table.scan(as_of=datetime(2024, 1, 2, tzinfo=UTC)).collect().height == 2
    with pytest.raises(LakeError, match="has no sessions: start and end do not apply"):
        table.scan(start=date(2024, 1, 1))


def test_as_of_needs_a_knowledge_time(lake, labels, days):
    table = lake.table("cn", "labels")
    table.append(labels(days[:1]))
    with pytest.raises(LakeError, match="carries no knowledge_time"):
        table.scan(as_of=datetime(2024, 1, 1, tzinfo=UTC))


def test_tables_without_sessions_are_overwritten_whole(lake, features, days):
    table = lake.table("cn", "training_set")
    base = (
        features(days[:1])
        .drop("version")
        .with_columns(forward_return=0.1, barrier=pl.lit(None, pl.Int8), weight=1.0)
    )
    with pytest.raises(LakeError, match="use overwrite"):
        table.replace(days[0], days[1], base)
    table.overwrite(base.with_columns(old=1.0))
    table.overwrite(base.with_columns(new=2.0))
    assert table.scan().collect().columns == [*table.schema.columns, "new"]
    assert table.scan(version=0).collect().columns == [*table.schema.columns, "old"]
    assert table.scan().collect().height == 3


def test_a_new_feature_widens_the_table(lake, features, days):
    table = lake.table("cn", "features")
    table.replace(days[0], days[1], features(days[:1], sma=1.0))
    table.replace(days[1], days[2], features(days[1:2], atr=2.0))
    found = table.scan().collect().sort("session_date")
    assert found.columns[-2:] == ["atr", "sma"]
    assert found["sma"].to_list() == [1.0] * 3 + [None] * 3
    table.replace(days[0], days[1], features(days[:1], sma=3.0))  # a frame may lack what others added
    assert table.scan(start=days[0], end=days[1]).collect()["sma"].to_list() == [3.0] * 3


def test_retention_is_set_for_ever(lake, labels, days):
    table = lake.table("cn", "labels")
    table.append(labels(days[:1]))
    assert (
        DeltaTable(table.folder).metadata().configuration["delta.logRetentionDuration"]
        == "interval 36500 days"
    )
    for _ in range(105):
        table.replace(days[0], days[1], labels([]))
    assert list((table.folder / "_delta_log").glob("*.checkpoint.parquet"))  # written, and yet
    assert table.scan(version=0).collect().height == 3
