from __future__ import annotations

import itertools
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.errors import LakeError
from nofx_pipelines.lake.incremental import contiguous, refresh_sessions


class Stage:
    """A stage that counts what it was asked for."""

    def __init__(self, table, labels) -> None:
        self.table, self.labels, self.asked = table, labels, []

    def compute(self, part):
        self.asked.append(list(part))
        return self.labels(part)

    def refresh(self, days, code="c1", inputs="i1", **arguments):
        self.asked.clear()
        given_inputs = inputs if isinstance(inputs, dict) else dict.fromkeys(days, inputs)
        ticks = itertools.count()
        return refresh_sessions(
            self.table,
            days,
            code_version=code,
            inputs=given_inputs,
            compute=arguments.pop("compute", self.compute),
            lineage={"cn/bars": 3},
            run_id="r1",
            clock=lambda: float(next(ticks)),
            **arguments,
        )


@pytest.fixture
def stage(lake, labels):
    return Stage(lake.table("cn", "labels"), labels)


def test_only_what_is_not_fresh_is_computed(stage, days):
    first = stage.refresh(days[:6], chunk=4)
    assert stage.asked == [days[:4], days[4:6]]
    assert (first.rows, first.written, first.fresh, first.version, first.seconds) == (
        18,
        tuple(days[:6]),
        (),
        1,
        1.0,
    )
    again = stage.refresh(days[:6])
    assert (stage.asked, again.rows, again.written, again.fresh, again.version) == (
        [],
        0,
        (),
        tuple(days[:6]),
        1,
    )
    changed = stage.refresh(days[:7], inputs={**dict.fromkeys(days[:7], "i1"), days[2]: "i2"})
    assert stage.asked == [[days[2]], [days[6]]]
    assert changed.version == 3
    stage.refresh(days[:2], code="c2")
    assert stage.asked == [days[:2]]
    stage.refresh(days[:2], code="c2", force=True)
    assert stage.asked == [days[:2]]


def test_commits_carry_lineage_and_run(stage, days):
    stage.refresh(days[:2])
    row = stage.table.history().row(0, named=True)
    assert (row["lineage"], row["run_id"], row["code_version"]) == ('{"cn/bars": 3}', "r1", "c1")


def test_a_chunk_never_reaches_over_sessions_that_are_fresh(stage, days):
    stage.refresh(days[2:4])
    kept = stage.table.stamps()
    stage.refresh(days[:6], inputs={**dict.fromkeys(days[:6], "i1")})
    assert stage.asked == [days[:2], days[4:6]]
    assert {day: stage.table.stamps()[day] for day in kept} == kept


def test_what_was_committed_stays_when_a_later_chunk_fails(stage, labels, days):
    def breaks(part):
        if days[4] in part:
            raise RuntimeError("killed")
        return labels(part)

    with pytest.raises(RuntimeError):
        stage.refresh(days[:6], chunk=2, compute=breaks)
    assert list(stage.table.stamps()) == days[:4]
    assert stage.refresh(days[:6], chunk=2).written == tuple(days[4:6])


def test_sessions_without_rows_become_fresh_too(stage, labels, days):
    stage.refresh(days[:3], compute=lambda part: labels([day for day in part if day != days[1]]))
    assert stage.table.stamps()[days[1]].rows == 0
    assert stage.refresh(days[:3]).written == ()


def test_rows_of_other_days_are_refused(stage, labels, days):
    sessions = [days[0], days[2]]
    with pytest.raises(
        LakeError, match=f"3 computed rows, the first of {days[1]}, belong to no session asked"
    ):
        stage.refresh(sessions, compute=lambda part: labels(days[:3]))
    assert not stage.table.exists()


def test_arguments_are_checked_first(stage, days):
    with pytest.raises(LakeError, match="must ascend"):
        stage.refresh([days[1], days[0]])
    with pytest.raises(LakeError, match=f"1 sessions, the first {days[1]}, have no inputs"):
        stage.refresh(days[:2], inputs={days[0]: "i"})
    with pytest.raises(LakeError, match="chunk = 0"):
        stage.refresh(days[:2], chunk=0)
    assert stage.asked == []
    assert stage.refresh([]).version is None


@given(chosen=st.sets(st.integers(0, 20)), chunk=st.integers(1, 6))
def test_runs_cover_the_chosen_once_in_order_without_a_gap(chosen, chunk):
    days = [date(2024, 1, 1) + timedelta(days=2 * n) for n in range(21)]
    runs = list(contiguous(days, [days[n] for n in chosen], chunk))
    assert [day for run in runs for day in run] == [days[n] for n in sorted(chosen)]
    for run in runs:
        assert len(run) <= chunk
        assert run == days[days.index(run[0]) : days.index(run[0]) + len(run)]
    for earlier, later in itertools.pairwise(runs):  # two runs that touch are split for length alone
        touching = days.index(later[0]) == days.index(earlier[-1]) + 1
        assert not touching or len(earlier) == chunk
