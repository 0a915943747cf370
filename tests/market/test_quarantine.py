from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from nofx_pipelines.lake.schemas import EXCLUDED_SESSIONS
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.checks import QUARANTINE_COLUMNS, with_quarantine_ids
from nofx_pipelines.market.quarantine import quarantine, write_excluded

NOW = datetime(2026, 11, 1, tzinfo=UTC)
DAYS = [date(2024, 1, day) for day in (2, 3, 4)]


def refused(*values: str, seen_at: datetime = NOW) -> pl.DataFrame:
    rows = [
        {
            "source": "files",
            "file": None,
            "instrument_id": None,
            "ts_open": None,
            "rule": "r",
            "reason": "why",
            "value": value,
            "raw": "{}",
            "seen_at": seen_at,
        }
        for value in values
    ]
    schema = {name: dtype for name, dtype in QUARANTINE_COLUMNS.items() if name != "quarantine_id"}
    return with_quarantine_ids(pl.DataFrame(rows, schema=schema))


def test_a_refused_row_is_kept_once_as_first_seen(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    table = lake.table("cn", "quarantine")
    assert quarantine(lake, "cn", refused(), run_id="r0") == 0
    assert not table.exists()
    assert quarantine(lake, "cn", refused("a", "b"), run_id="r1") == 2
    assert quarantine(lake, "cn", refused("b", "c", seen_at=NOW + timedelta(1)), run_id="r2") == 2
    held = table.scan().collect().sort("value")
    assert held.select("value", "run_id").rows() == [("a", "r1"), ("b", "r1"), ("c", "r2")]
    version = table.version()
    quarantine(lake, "cn", refused("a"), run_id="r3")
    assert table.version() == version


def excluded(*days: date, decided_at: datetime = NOW) -> pl.DataFrame:
    rows = [("bars", day, "source_hole", "why", decided_at) for day in days]
    return pl.DataFrame(rows, schema=EXCLUDED_SESSIONS.columns, orient="row")


def test_left_out_sessions_follow_the_newest_decision_without_needless_commits(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    table = lake.table("u", "excluded_sessions")
    write_excluded(lake, "u", "bars", DAYS, excluded(), run_id="r")
    assert not table.exists()
    write_excluded(lake, "u", "bars", DAYS, excluded(DAYS[0], DAYS[2]), run_id="r")
    version = table.version()
    write_excluded(
        lake, "u", "bars", DAYS, excluded(DAYS[0], DAYS[2], decided_at=NOW + timedelta(1)), run_id="r"
    )
    assert table.version() == version
    write_excluded(lake, "u", "bars", DAYS[1:], excluded(DAYS[1]), run_id="r")
    assert table.scan().collect()["session_date"].sort().to_list() == DAYS[:2]
    write_excluded(lake, "u", "bars", DAYS, excluded(), run_id="r")
    assert table.scan().collect().is_empty()
