"""Rows of real databases as batches: each value as the table of values has it."""

from datetime import datetime

import psycopg2
import pyarrow as pa
import pymysql
import pytest

from engine.cast import cast, cells, text_of
from engine.extract.opening import open_extract
from sources.clock import Clock
from sources.errors import QueryFailed, StatementRefused

from .sources import params_of
from .table import BLOCKS
from .test_cast import found, same

MOST = 16 * 1024 * 1024
POSTGRES_TYPES = {
    "text": "text", "integer": "int8", "decimal": "numeric", "float32": "float4",
    "float64": "float8", "boolean": "bool", "date": "date", "timestamp": "timestamp",
    "timestamptz": "timestamptz", "time": "time", "binary": "bytea", "json": "json",
}  # fmt: skip
MYSQL_TYPES = {
    "text": "longtext CHARACTER SET utf8mb4", "integer": "bigint", "decimal": "decimal(65,20)",
    "float32": "float", "float64": "double", "tinyint1": "tinyint(1)", "date": "date",
    "timestamp": "datetime(6)", "timestamptz": "timestamp(6)", "time": "time(6)",
    "binary": "longblob",
}  # fmt: skip


def extracted(database, sql, most=MOST, window=None, limit=None):
    """Return columns, and each column as cells of its kind."""
    extract = open_extract(params_of(database), sql, most, Clock(10))
    try:
        batches = list(extract.batches(window, limit))
        whole = [pa.concat_arrays([b.column(at) for b in batches]) if batches else None
                 for at in range(len(extract.columns))]  # fmt: skip
        return extract.columns, whole
    finally:
        extract.close()


def texts(database, sql, **given):
    columns, arrays = extracted(database, sql, **given)
    return [
        [] if array is None else text_of(cells(array, column.kind)).to_pylist()
        for column, array in zip(columns, arrays, strict=True)
    ]


def stored(database, types, kind, values):
    """Put values into a table; return those that the database keeps as they are."""
    database.run(f"CREATE TABLE v (n int, v {types[kind]} NULL)")
    session = database.connect()
    database.autocommit(session)
    cursor = session.cursor()
    kept = {}
    for at, value in enumerate(values):
        given = value.replace(tzinfo=None) if isinstance(value, datetime) else value
        given = repr(value) if isinstance(value, float) else given  # -0.0 is a decimal's 0
        try:
            cursor.execute("INSERT INTO v VALUES (%s, %s)", (at, given))
            cursor.execute(f"SELECT {database.as_text} FROM v WHERE n = {at}")
        except (psycopg2.Error, pymysql.Error, ValueError):
            continue
        ((there,),) = cursor.fetchall()
        lost_sign = repr(value) == "-0.0" and there == "0"  # MySQL has one zero
        if (not isinstance(value, str) or there == value) and not lost_sign:
            kept[at] = value
        else:
            cursor.execute(f"DELETE FROM v WHERE n = {at}")
    session.close()
    return kept


@pytest.mark.parametrize(
    ("kind", "data_type", "block"), BLOCKS, ids=[f"{kind}-{to}" for kind, to, _ in BLOCKS]
)
def test_values_come_through_as_the_table_says(database, kind, data_type, block):
    types = {"postgresql": POSTGRES_TYPES, "mysql": MYSQL_TYPES}[database.kind]
    if kind not in types:
        return
    kept = stored(database, types, kind, block)
    columns, (numbers, array) = extracted(database, "SELECT n, v FROM v ORDER BY n")
    assert columns[1].kind == kind
    assert (numbers.to_pylist() if numbers else []) == list(kept)
    if kept:
        result = cast(cells(array, kind), data_type)
        for position, value in enumerate(kept.values()):
            assert same(found(result, position), block[value]), value


def test_postgresql_writes_what_no_driver_carries(postgres):
    sql = """
        SELECT '2026-01-31 03:04:05.5+02'::timestamptz, 'infinity'::date, 12.50::money,
          '10.0.0.1/8'::inet, row(1, 'x'), int4range(1, 3), b'101', '12:00:00+02'::timetz,
          '(1,2)'::point, '<a/>'::xml, 4294967295::oid, ARRAY[[1, 2], [3, NULL]],
          ARRAY['é', 'a"b', NULL], '1 day 02:00'::interval, 'ab'::char(4), NULL::int[],
          ARRAY[1.10, NULL], '\\x00ff'::bytea, ''::bytea, 'x'::varchar(3), ''::text -- the end"""
    assert [column[0] for column in texts(postgres, sql)] == [
        "2026-01-31T01:04:05.5Z", "infinity", "$12.50", "10.0.0.1/8", "(1,x)", "[1,3)", "101",
        "12:00:00+02", "(1,2)", "<a/>", "4294967295", "[[1,2],[3,null]]", '["é","a\\"b",null]',
        "1 day 02:00:00", "ab  ", None, "[1.10,null]", "AP8=", "", "x", "",
    ]  # fmt: skip


def test_moments_with_a_zone_are_in_utc_whatever_the_session_says(postgres, mysql):
    postgres.run(f"ALTER DATABASE {postgres.name} SET timezone = 'Asia/Tokyo'")
    sql = "SELECT '2026-01-31 03:04:05+00'::timestamptz, '2026-01-31'::timestamptz::text"
    assert texts(postgres, sql) == [["2026-01-31T03:04:05Z"], ["2026-01-31 00:00:00+09"]]
    postgres.run(f"ALTER DATABASE {postgres.name} RESET timezone")
    mysql.run(
        "SET time_zone = '+09:00'",
        "CREATE TABLE moments (m timestamp NULL)",
        "INSERT INTO moments VALUES ('2026-01-31 12:04:05')",
    )
    assert texts(mysql, "SELECT m FROM moments") == [["2026-01-31T03:04:05Z"]]


def test_mysql_keeps_what_is_strange(mysql):
    mysql.run(
        "SET sql_mode = ''",
        "CREATE TABLE strange (a float, b date, c datetime, d time, e bit(9), f bigint unsigned,"
        " g decimal(65,30), h year, i enum('1','x'), j geometry, k varbinary(9), l tinyint(1))",
        "INSERT INTO strange VALUES (0.1, '0000-00-00', 0, '-838:59:59', b'100000001',"
        " 18446744073709551615, 1.5, 2026, '1', point(1, 2), x'00ff', 7)",
    )
    for sql in (
        "SELECT * FROM strange -- all of it",
        "WITH x AS (SELECT * FROM strange) SELECT * FROM x ORDER BY a",
    ):
        assert [column[0] for column in texts(mysql, sql)] == [
            "0.1", "0000-00-00", "0000-00-00 00:00:00", "-838:59:59", "257",
            "18446744073709551615", "1.500000000000000000000000000000", "2026", "1", "POINT(1 2)",
            "AP8=", "7",
        ]  # fmt: skip


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS a, 2 AS a",
        "VALUES (1, 2)",
        "SELECT 1, 2;  ",
        "(SELECT 1, 2) -- x",
        "WITH q AS (SELECT 1, 2) SELECT * FROM q",
    ],
)
def test_any_statement_that_reads_is_taken(database, sql):
    assert texts(database, sql) == [["1"], ["2"]]


def test_show_is_read_as_text(database):
    sql = "SHOW server_encoding" if database.kind == "postgresql" else "SHOW VARIABLES LIKE 'port'"
    assert all(column for column in texts(database, sql))


def test_no_row_is_no_batch(database):
    assert texts(database, "SELECT 1 AS a FROM (SELECT 1) t WHERE 1 = 0") == [[]]


def test_null_and_the_empty_text_are_two(database):
    sql = "SELECT NULL AS a UNION ALL SELECT 'x' UNION ALL SELECT ''"
    assert sorted(texts(database, sql)[0], key=repr) == ["", "x", None]


def test_a_cell_that_is_too_large_comes_cut(database):
    database.run("CREATE TABLE large (t text, b text)" if database.kind == "postgresql"
                 else "CREATE TABLE large (t longtext, b longtext)",
                 "INSERT INTO large VALUES (repeat('é', 60000), 'x')")  # fmt: skip
    (long,), (short,) = texts(database, "SELECT * FROM large ORDER BY 1", most=50_000)
    assert 50_000 < len(long.encode()) < 120_000 or database.kind == "mysql"
    assert len(long.encode()) > 50_000
    assert short == "x"


def test_the_order_of_the_query_stays(database):
    database.run("CREATE TABLE o (a int, t text)",
                 "INSERT INTO o VALUES (2, 'b'), (3, 'c'), (1, 'a')")  # fmt: skip
    assert texts(database, "SELECT a, t FROM o ORDER BY a DESC", most=10)[0] == ["3", "2", "1"]


def test_a_limit_reads_the_first_rows_alone(database):
    sql = "SELECT 1 AS a UNION ALL SELECT 2 UNION ALL SELECT 3 ORDER BY a"
    assert texts(database, sql, limit=2) == [["1", "2"]]


def test_the_guard_looks_at_what_is_read(database):
    with pytest.raises(StatementRefused):
        extracted(database, "DELETE FROM people")
    with pytest.raises(QueryFailed):
        extracted(database, "SELECT nothing FROM nowhere")


def test_a_query_that_fails_in_the_middle_says_so(postgres):
    with pytest.raises(QueryFailed, match="division by zero"):
        extracted(postgres, "SELECT 1 / (90000 - n) FROM generate_series(1, 100000) n")


def test_many_rows_come_in_batches(database):
    sql = {
        "postgresql": "SELECT n, 'name ' || n AS t FROM generate_series(1, 300000) n",
        "mysql": "SELECT seq AS n, concat('name ', seq) AS t FROM seq_1_to_300000",
    }[database.kind]
    extract = open_extract(params_of(database), sql, MOST, Clock(10))
    sizes = [batch.num_rows for batch in extract.batches()]
    extract.close()
    assert sum(sizes) == 300_000
    assert len(sizes) > 1
