"""The refit calendar."""

from __future__ import annotations

from datetime import date, timedelta

from nofx_pipelines.anomaly.refit import Refit

DAYS = [date(2023, 1, 2) + timedelta(days=k) for k in range(400)]


def test_a_reference_ends_before_its_period_begins() -> None:
    for freq in ("1d", "5m"):
        refit = Refit.of(freq)
        for day in DAYS:
            begins = refit.begins(day)
            first, last = refit.reference(DAYS, begins)
            assert begins <= day
            assert all(session < begins for session in DAYS[first:last])
            assert last - first <= refit.sessions
            if last < len(DAYS):
                assert DAYS[last] >= begins


def test_all_days_of_a_period_share_a_reference() -> None:
    refit = Refit.of("1d")
    assert {refit.begins(date(2024, 2, day)) for day in range(1, 30)} == {date(2024, 2, 1)}
