from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.lake.files import DataFile, small_neighbours

D = [date(2024, 1, n) for n in range(1, 10)]


def test_touching_and_lying_within_are_half_open():
    file = DataFile("f", 1, 1, D[2], D[4])
    assert file.touches(D[4], D[5])
    assert not file.touches(D[5], D[8])
    assert not file.touches(D[0], D[2])
    assert file.touches(None, None)
    assert file.within(D[2], D[5])
    assert not file.within(D[2], D[4])
    assert not file.within(D[3], D[8])


def test_a_file_without_statistics_is_always_opened_and_never_dropped_whole():
    file = DataFile("f", 1, 1, None, None)
    assert file.touches(D[0], D[1])
    assert not file.within(D[0], D[8])


@given(rows=st.lists(st.integers(0, 12), max_size=12), target=st.integers(1, 20))
def test_runs_are_neighbours_and_within_the_target(rows, target):
    files = [DataFile(str(n), 1, count, None, None) for n, count in enumerate(rows)]
    runs = small_neighbours(files, target)
    for run in runs:
        assert len(run) > 1
        assert sum(file.rows for file in run) <= target
        numbers = [int(file.name) for file in run]
        assert numbers == list(range(numbers[0], numbers[0] + len(run)))
    names = [file.name for run in runs for file in run]
    assert len(names) == len(set(names))
