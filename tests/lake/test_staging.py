from __future__ import annotations

import fcntl
import os

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nofx_pipelines.errors import LakeError
from nofx_pipelines.lake.schemas import FOLDS, LABELS
from nofx_pipelines.lake.staging import remove_abandoned, stage, staging_folder


def staged(folder, frame, file_rows=7, schema=LABELS):
    with staging_folder(folder) as staging:
        rows = stage(frame, schema, "cn/labels", staging, file_rows)
        read = [pl.read_parquet(staging / file.name) for file in rows.files]
    return rows, read


def test_frames_lazy_frames_and_iterators_stage_alike(tmp_path, labels, days):
    frame = labels(days[:6]).sample(fraction=1, shuffle=True, seed=1)
    ways = [frame, frame.lazy(), iter([frame[:5], frame[5:]]), (part for part in frame.iter_slices(2))]
    results = [staged(tmp_path, way) for way in ways]
    for rows, read in results:
        assert rows.sessions == results[0][0].sessions
        assert_frame_equal(pl.concat(read), labels(days[:6]))
    assert len(results[0][0].sessions) == 6


def test_sessions_are_never_split_over_files(tmp_path, labels, days):
    rows, read = staged(tmp_path, labels(days[:5]).lazy(), file_rows=7)
    assert [part.height for part in read] == [6, 6, 3]
    assert [(file.first, file.last) for file in rows.files] == [
        (days[0], days[1]),
        (days[2], days[3]),
        (days[4], days[4]),
    ]
    assert [part.height for part in staged(tmp_path, labels(days[:2]), file_rows=2)[1]] == [3, 3]


@pytest.mark.parametrize("lazy", [False, True])
def test_a_null_session_is_refused(tmp_path, labels, days, lazy):
    frame = labels(days[:2]).with_columns(
        session_date=pl.when(pl.int_range(pl.len()) != 4).then("session_date")
    )
    with pytest.raises(LakeError, match="'session_date' is null in 1 rows"):
        staged(tmp_path, frame.lazy() if lazy else frame, file_rows=2)


def test_a_bad_frame_late_in_an_iterator_is_refused(tmp_path, labels, days):
    frames = iter([labels(days[:1]), labels(days[1:2]).drop("weight")])
    with pytest.raises(LakeError, match="'weight' is missing"):
        staged(tmp_path, frames)
    assert list((tmp_path / "_staging").iterdir()) == []


def test_nothing_stages_as_nothing(tmp_path, labels):
    for frame in (labels([]), labels([]).lazy(), iter([])):
        rows, read = staged(tmp_path, frame)
        assert (rows.files, rows.sessions, read) == ((), {}, [])
        assert list(rows.columns) == list(LABELS.columns)


def test_whole_tables_hash_whole(tmp_path, days):
    frame = pl.DataFrame(
        {
            "fold": [0, 1],
            "role": ["train"] * 2,
            "start": days[:2],
            "end": days[2:4],
            "purge_bars": [5] * 2,
            "embargo_bars": [0] * 2,
        },
        schema=FOLDS.columns,
    )
    results = [
        staged(tmp_path, way, schema=FOLDS)[0] for way in (frame, frame.reverse().lazy(), iter([frame]))
    ]
    assert len({rows.whole for rows in results}) == 1
    assert results[0].sessions == {}


def test_only_folders_of_dead_writers_are_removed(tmp_path):
    dead = tmp_path / "_staging" / "dead"
    dead.mkdir(parents=True)
    (dead / "file").write_text("left")
    with staging_folder(tmp_path) as alive:
        remove_abandoned(tmp_path)
        assert alive.is_dir()
    assert not dead.exists()


def test_the_lock_is_what_tells(tmp_path):
    with staging_folder(tmp_path) as alive:
        handle = os.open(alive, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)
