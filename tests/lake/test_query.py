from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from nofx_pipelines.errors import IntegrityError, LakeError
from nofx_pipelines.lake.query import Limits, query, table_names
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


STATEMENTS = [
    "COPY (SELECT 1) TO '{0}/x.csv'",
    "COPY labels FROM '{0}/secret.csv'",
    "EXPORT DATABASE '{0}/x'",
    "IMPORT DATABASE '{0}'",
    "DROP VIEW labels",
    "CREATE TABLE t AS SELECT 1",
    "CREATE MACRO f(x) AS x",
    "CREATE SECRET s (TYPE http)",
    "INSERT INTO labels SELECT * FROM labels",
    "UPDATE labels SET weight = 0",
    "ATTACH '{0}/x.db'",
    "ATTACH '{0}/x.db' AS x (TYPE sqlite)",
    "USE memory",
    "SET enable_external_access = true",
    "SET memory_limit = '100GB'",
    "RESET lock_configuration",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{0}/x.so'",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "CALL pragma_version()",
    "CALL enable_logging()",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXPLAIN ANALYZE SELECT 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW labels",
    "",
    "-- nothing",
]
SELECTS = [
    "SELECT * FROM read_text('{0}/secret.csv')",
    "SELECT * FROM read_blob('{0}/secret.csv')",
    "SELECT * FROM read_csv('{0}/secret.csv')",
    "SELECT * FROM READ_CSV_AUTO('{0}/secret.csv')",
    "SELECT * FROM read_json('{0}/secret.csv')",
    "SELECT * FROM read_duckdb('{0}/secret.csv')",
    "SELECT * FROM parquet_metadata('{0}/secret.csv')",
    "SELECT * FROM '{0}/secret.csv'",
    'SELECT * FROM "{0}/secret.csv"',
    "SELECT * FROM glob('/*')",
    "SELECT * FROM sniff_csv('{0}/secret.csv')",
    "SELECT * FROM read_parquet('https://example.org/x.parquet')",
    "SELECT * FROM read_csv('s3://bucket/x.csv')",
    "SELECT * FROM (SELECT * FROM labels), read_text('{0}/secret.csv')",
    "SELECT (SELECT content FROM read_text('{0}/secret.csv'))",
    "WITH x AS (SELECT * FROM read_text('{0}/secret.csv')) SELECT * FROM x",
    "SELECT * FROM labels WHERE weight IN (SELECT size FROM read_text('{0}/secret.csv'))",
    "SELECT * FROM labels l, LATERAL (SELECT * FROM read_text('{0}/secret.csv')) t",
    "SELECT 1 UNION ALL SELECT size FROM read_text('{0}/secret.csv')",
    "DESCRIBE (SELECT * FROM read_text('{0}/secret.csv'))",
    "SUMMARIZE SELECT * FROM read_text('{0}/secret.csv')",
    "DESCRIBE '{0}/secret.csv'",
    "FROM query('SELECT * FROM read_text(''{0}/secret.csv'')')",
    "FROM query_table('{0}/secret.csv')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT json_serialize_plan('SELECT * FROM read_text(''{0}/secret.csv'')')",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM arrow_scan_dumb(1, 2, 3)",
    "SELECT * FROM pandas_scan(1)",
    "SELECT * FROM python_arrow_scan(1, 2, 3)",
    "SELECT * FROM python_map_function(1)",
    "SELECT * FROM seq_scan('labels')",
    "SELECT getenv('HOME')",
    "SELECT current_setting('secret_directory')",
    "SELECT getvariable('x')",
    "SELECT write_log('x')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM which_secret('s3://x', 's3')",
    "SELECT * FROM duckdb_logs",
    "SELECT * FROM duckdb_extensions()",
    "SELECT * FROM duckdb_external_file_cache()",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT * FROM memory.main.labels",
    "SELECT * FROM pragma_user_agent()",
    "SHOW DATABASES",
    "FROM (SHOW ALL TABLES)",
]


@pytest.mark.parametrize("sql", STATEMENTS)
def test_anything_but_one_select_is_refused(filled, tmp_path, sql):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LakeError, match=r"must be one SELECT statement|SQL failed: Parser Error"):
        query(filled, sql.format(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("sql", SELECTS)
def test_a_select_reads_tables_and_nothing_else(filled, tmp_path, sql):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(LakeError, match="SQL failed") as raised:
        query(filled, sql.format(tmp_path))
    assert raised.value.hint, "what it may read instead"
    assert raised.value.kept


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("SELECT * FROM range(3)", 0),
        ("SELECT unnest([7, 8])", 7),
        ("SELECT * FROM unnest([7, 8])", 7),
        ("SELECT * FROM generate_series(5, 6)", 5),
        ("VALUES (4)", 4),
        (
            "WITH RECURSIVE t AS (SELECT 1 i UNION ALL SELECT i + 1 FROM t WHERE i < 9) SELECT max(i) FROM t",
            9,
        ),
        ("WITH a AS (SELECT 3 AS x), B AS (SELECT * FROM A) SELECT x FROM b", 3),
        ("SELECT count(*) FROM main.labels", 15),
        ("SELECT count(*) FROM (DESCRIBE labels) WHERE column_name = 'scope'", 1),
        ("SELECT column_name FROM (SUMMARIZE labels)", "scope"),
        ("SELECT count(*) FROM labels TABLESAMPLE 100%", 15),
        (
            "SELECT count(*) FROM (PIVOT labels ON scope IN ('cn', 'hk') USING count(*) GROUP BY weight)",
            1,
        ),
        ("SELECT list_sum(list_transform([1, 2], lambda x: x + 1))", 5),
        ("SELECT 'read_text(1) FROM duckdb_settings' AS t", "read_text(1) FROM duckdb_settings"),
    ],
)
def test_what_only_looks_at_tables_and_values_passes(filled, sql, first):
    assert query(filled, sql).row(0)[0] == first


def test_tables_are_listed(filled):
    for sql in ("show tables", " SHOW  ALL TABLES ; "):
        assert query(filled, sql).rows() == [
            ("feature_state", "cn"),
            ("features", "cn, hk"),
            ("labels", "cn, hk"),
        ]
    assert query(filled, "show tables", scopes=["hk"])["name"].to_list() == ["features", "labels"]
    assert query(filled, "DESCRIBE labels")["column_name"][0] == "scope"
    assert query(Lake(filled.root / "nowhere"), "show tables").height == 0


def test_files_are_read_where_that_is_allowed(filled, tmp_path):
    (tmp_path / "weights.csv").write_text("scope,weight\ncn,2\n")
    own = str(tmp_path / "weights.csv")
    for source in (f"read_csv('{own}')", f"'{own}'"):
        joined = query(
            filled, f"SELECT sum(w.weight) FROM labels JOIN {source} w USING (scope)", allow_files=True
        )
        assert joined.item() == 12
    for sql in (
        f"COPY (SELECT 1) TO '{tmp_path}/x.csv'",
        "SELECT * FROM arrow_scan(1, 2, 3)",
        "SELECT getenv('HOME')",
        "SELECT * FROM read_csv('https://example.org/x.csv')",
        "INSTALL httpfs",
    ):
        with pytest.raises(LakeError):
            query(filled, sql, allow_files=True)
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize(
    ("limits", "sql", "why"),
    [
        (
            Limits(seconds=0.3),
            "SELECT sum(a.range * b.range) FROM range(10000000) a, range(100000) b",
            "longer",
        ),
        (Limits(seconds=0.3), "SELECT count(*) FROM labels, range(100000000000)", "longer than 0.3 s"),
        (
            Limits(memory=10**8),
            "SELECT range FROM range(100000000) ORDER BY hash(range)",
            r"than 0\.0931 GiB",
        ),
        (Limits(memory=10**8), "SELECT list(range) FROM range(100000000)", "more memory"),
        (Limits(memory=10**8), "SELECT repeat('x', 1000) FROM range(1000000)", "more memory"),
    ],
)
def test_a_query_has_limits(filled, limits, sql, why):
    with pytest.raises(LakeError, match=f"SQL failed: it .*{why}") as raised:
        query(filled, sql, limits=limits)
    assert "--timeout" in str(raised.value) or "--memory" in str(raised.value)
    assert query(filled, "SELECT count(*) FROM labels", limits=limits).item() == 15


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
