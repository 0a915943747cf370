from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from nofx_pipelines.errors import IntegrityError, LakeError
from nofx_pipelines.lake.query import query, table_names
from nofx_pipelines.lake.store import Lake


@pytest.fixture
def filled(lake, labels, features, days):
    """Labels of two scopes, features with different columns in each, and a binary column."""
    for scope, count in (("cn", 2), ("hk", 3)):
        lake.table(scope, "labels").append(labels(days[:count]))
    lake.table("cn", "features").append(features(days[:2], sma=1.0))
    lake.table("hk", "features").append(features(days[:2], atr=2.0))
    state = pl.DataFrame(
        {"instrument_id": ["a"], "session_date": days[:1], "version": ["v"], "state": [b"\x00\xff"]}
    )
    lake.table("cn", "feature_state").append(state)
    return lake


def test_a_view_is_the_union_over_scopes_with_scope_first(filled):
    found = query(filled, "SELECT * FROM labels")
    assert found.columns == ["scope", *filled.table("cn", "labels").schema.columns]
    assert found.schema["ts_close"] == pl.Datetime("us", "UTC")
    counts = query(filled, "SELECT scope, count(*) AS n FROM labels GROUP BY scope ORDER BY scope")
    assert counts.rows() == [("cn", 6), ("hk", 9)]


def test_columns_join_by_name(filled):
    found = query(
        filled, "SELECT scope, any_value(sma) s, any_value(atr) a FROM features GROUP BY 1 ORDER BY 1"
    )
    assert found.rows() == [("cn", 1.0, None), ("hk", None, 2.0)]


def test_filters_equal_those_of_polars(filled, days):
    found = query(
        filled,
        "SELECT instrument_id, weight FROM labels WHERE scope = 'hk' AND session_date >= DATE '2024-01-02'"
        " AND ts_close < TIMESTAMPTZ '2024-01-03 00:00:00Z' ORDER BY 1",
    )
    own = filled.table("hk", "labels").scan(start=days[1], end=days[2]).sort("instrument_id")
    assert found.equals(own.select("instrument_id", "weight").collect())


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT * FROM "LABELS"',
        "from labels",
        "WITH labels_of AS (SELECT * FROM labels) SELECT * FROM labels_of",
        "SELECT l.* FROM labels l WHERE EXISTS (SELECT 1 FROM features f WHERE f.scope = l.scope)",
        "SELECT * FROM labels /* 价格 */ -- comment",
        "SELECT l.* FROM labels AS l SEMI JOIN features USING (scope, instrument_id, ts_close) UNION ALL "
        "SELECT l.* FROM labels AS l ANTI JOIN features USING (scope, instrument_id, ts_close)",
    ],
)
def test_tables_are_found_wherever_sql_names_them(filled, sql):
    assert query(filled, sql).height == 15


def test_values_come_back_as_they_are(filled):
    assert query(filled, "SELECT state FROM feature_state").item() == b"\x00\xff"
    assert query(filled, "SELECT 1 AS a, NULL AS b, 'x' AS c").rows() == [(1, None, "x")]
    assert query(filled, "SELECT now() AS t").schema["t"] == pl.Datetime("us", "UTC")


def test_only_named_tables_and_scopes_are_opened(filled):
    file = filled.table("cn", "labels").checked_files()[0][0].name
    (filled.table("cn", "labels").folder / file).write_bytes(b"gone bad")
    fresh = Lake(filled.root)
    assert query(fresh, "SELECT count(*) FROM features").item() == 12
    assert query(fresh, "SELECT count(*) FROM labels", scopes=["hk"]).item() == 9
    with pytest.raises(IntegrityError):
        query(fresh, "SELECT count(*) FROM labels")


def test_excluded_sessions_are_left_out_here_too(filled, days):
    listed = filled.table("cn", "excluded_sessions")
    row = {
        "table": "labels",
        "session_date": days[0],
        "rule": "units",
        "reason": "lots",
        "decided_at": datetime(2024, 2, 1, tzinfo=UTC),
    }
    listed.append(pl.DataFrame([row], schema=listed.schema.columns))
    assert query(filled, "SELECT count(*) FROM labels WHERE scope = 'cn'").item() == 3
    assert query(filled, "SELECT count(*) FROM labels WHERE scope = 'hk'").item() == 9


def test_frames_can_join_in(filled):
    frame = pl.DataFrame({"scope": ["cn"], "nick": ["A-shares"]})
    found = query(
        filled, "SELECT DISTINCT nick FROM labels JOIN nicks USING (scope)", frames={"nicks": frame}
    )
    assert found.item() == "A-shares"


def test_unknown_tables_are_answered_with_the_known_ones(filled):
    known = "excluded_sessions|feature_state, features, labels"
    for sql in ("SELECT * FROM bars", "SELECT * FROM labels JOIN nope USING (scope)", "SELECT * FROM filled"):
        with pytest.raises(LakeError, match=known) as raised:
            query(filled, sql)
        assert "does not exist" in str(raised.value)
    assert table_names(filled) == ["feature_state", "features", "labels"]


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{0}/x.csv'",
        "DROP VIEW labels",
        "CREATE TABLE t AS SELECT 1",
        "INSERT INTO labels SELECT * FROM labels",
        "ATTACH '{0}/x.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "PRAGMA database_list",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW labels",
        "",
        "-- nothing",
    ],
)
def test_anything_but_one_select_is_refused(filled, tmp_path, sql):
    with pytest.raises(LakeError, match="must be one SELECT statement"):
        query(filled, sql.format(tmp_path))
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{0}')",
        "SELECT * FROM read_csv('{0}')",
        "SELECT * FROM '{0}'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM sniff_csv('{0}')",
        "SELECT * FROM read_parquet('https://example.org/x.parquet')",
        "SELECT * FROM (SELECT * FROM labels), read_text('{0}')",
        "FROM query('SELECT * FROM read_text(''{0}'')')",
    ],
)
def test_no_sql_reads_a_file(filled, tmp_path, sql):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with pytest.raises(LakeError, match="SQL failed"):
        query(filled, sql.format(secret))


def test_no_sql_reads_a_python_variable(filled, monkeypatch):
    monkeypatch.setattr("nofx_pipelines.lake.query.secret", pl.DataFrame({"a": [1]}), raising=False)
    with pytest.raises(LakeError, match="secret does not exist"):
        query(filled, "SELECT * FROM secret")


def test_mistakes_and_types_without_a_column_are_clear(filled):
    with pytest.raises(LakeError, match='column "wieght" not found'):
        query(filled, "SELECT wieght FROM labels")
    with pytest.raises(LakeError, match="syntax error"):
        query(filled, "SELEC 1")
    with pytest.raises(LakeError, match="CAST the column"):
        query(filled, "SELECT INTERVAL 1 DAY AS i")


def test_an_empty_table_is_an_empty_view(lake, labels, days):
    table = lake.table("cn", "labels")
    table.append(labels([]))
    assert query(lake, "SELECT * FROM labels").height == 0
    table.replace(date(2024, 1, 1), date(2024, 1, 1) + timedelta(days=1), labels(days[:1]))
    assert query(lake, "SELECT * FROM labels").height == 3
