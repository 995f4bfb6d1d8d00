# ruff: noqa: E501 - tables of cases, one a line
"""Every common type of both databases, the JSON that it becomes and the schema type that fits.

The same tables as in docs/values.md.
"""

import base64
import json
import struct

import pytest

from sources import values
from sources.asking import pool
from sources.errors import StatementRefused
from sources.preview import run_preview

BIG = 2**53

POSTGRESQL = [
    ("NULL", None, "string"),
    ("true", True, "boolean"),
    ("'x'::text", "x", "string"),
    ("'größe 日本 🦆'::varchar(20)", "größe 日本 🦆", "string"),
    ("'ab'::char(4)", "ab  ", "string"),
    ("'a'::\"char\"", "a", "string"),
    ("'n'::name", "n", "string"),
    ("''::text", "", "string"),
    ("E'tab\\t line\\n quote\" back\\\\'", 'tab\t line\n quote" back\\', "string"),
    ("32767::smallint", 32767, "integer"),
    ("(-2147483648)::integer", -2147483648, "integer"),
    ("9007199254740992::bigint", BIG, "integer"),
    ("(-9007199254740992)::bigint", -BIG, "integer"),
    ("9007199254740993::bigint", "9007199254740993", "integer"),
    ("(-9223372036854775808)::bigint", "-9223372036854775808", "integer"),
    ("4294967295::oid", 4294967295, "integer"),
    ("1.10::numeric", "1.10", "float"),
    ("12345678901234567890.123456789::numeric", "12345678901234567890.123456789", "float"),
    ("1e-20::numeric", "0.00000000000000000001", "float"),
    ("'NaN'::numeric", "NaN", "float"),
    ("0.1::real", 0.1, "float"),
    ("0.1::double precision", 0.1, "float"),
    ("1e308::double precision", 1e308, "float"),
    ("'NaN'::double precision", "NaN", "float"),
    ("'Infinity'::double precision", "Infinity", "float"),
    ("'-Infinity'::real", "-Infinity", "float"),
    ("'12.34'::money", "$12.34", "string"),
    ("DATE '2024-02-29'", "2024-02-29", "date"),
    ("DATE 'infinity'", "infinity", "date"),
    ("DATE '0044-03-15 BC'", "0044-03-15 BC", "date"),
    ("DATE '10000-01-01'", "10000-01-01", "date"),
    ("TIME '23:59:59.5'", "23:59:59.5", "string"),
    ("TIMETZ '12:00:00+02'", "12:00:00+02:00", "string"),
    ("TIMESTAMP '2024-01-02 03:04:05'", "2024-01-02T03:04:05", "timestamp"),
    ("TIMESTAMP '2024-01-02 03:04:05.123456'", "2024-01-02T03:04:05.123456", "timestamp"),
    ("TIMESTAMP '-infinity'", "-infinity", "timestamp"),
    ("TIMESTAMP '0044-03-15 12:00:00 BC'", "0044-03-15 12:00:00 BC", "timestamp"),
    ("INTERVAL '1 year 2 months 3 days 04:05:06'", "1 year 2 mons 3 days 04:05:06", "string"),
    ("'\\x00ff10'::bytea", "AP8Q", None),
    ("''::bytea", "", None),
    ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "string"),
    ("'{\"a\": [1, null, true], \"b\": {}}'::json", {"a": [1, None, True], "b": {}}, None),
    ("'{\"big\": 9007199254740993}'::jsonb", {"big": "9007199254740993"}, None),
    ("'[0.1, 1.10, 1e400, 0.12345678901234567890]'::json",
     [0.1, 1.1, "1e400", "0.12345678901234567890"], None),
    ("'\"\\ud800\"'::json", "\ufffd", None),
    ("'null'::jsonb", None, None),
    ("ARRAY[1, NULL, 3]", [1, None, 3], None),
    ("ARRAY[[1, 2], [3, 4]]", [[1, 2], [3, 4]], None),
    ("'{}'::int[]", [], None),
    ("ARRAY['a,b', 'c\"d', 'e\\f', '', 'NULL', NULL]", ["a,b", 'c"d', "e\\f", "", "NULL", None], None),
    ("ARRAY[9007199254740993, 1]::bigint[]", ["9007199254740993", 1], None),
    ("ARRAY[1.10, 2]::numeric[]", ["1.10", "2"], None),
    ("ARRAY['NaN', '1.5']::float8[]", ["NaN", 1.5], None),
    ("ARRAY[true, false]", [True, False], None),
    ("ARRAY[TIMESTAMP '2024-01-02 03:04:05']", ["2024-01-02T03:04:05"], None),
    ("ARRAY['\\x00ff'::bytea]", ["AP8="], None),
    ("ARRAY['{\"a\": 1}'::jsonb]", [{"a": 1}], None),
    ("'[0:1]={1,2}'::int[]", "[0:1]={1,2}", None),
    ("ARRAY[box '((1,2),(3,4))']", ["(3,4),(1,2)"], None),
    ("'happy'::mood", "happy", "string"),
    ("ARRAY['happy', 'sad']::mood[]", ["happy", "sad"], None),
    ("5::positive", 5, "integer"),
    ("ARRAY[5]::positive[]", [5], None),
    ("ROW(1, 'x')::pair", "(1,x)", None),
    ("'192.168.0.1/24'::inet", "192.168.0.1/24", "string"),
    ("'10.0.0.0/8'::cidr", "10.0.0.0/8", "string"),
    ("'08:00:2b:01:02:03'::macaddr", "08:00:2b:01:02:03", "string"),
    ("'[1,10)'::int4range", "[1,10)", None),
    ("'{[1,2),[5,6)}'::int4multirange", "{[1,2),[5,6)}", None),
    ("B'101'", "101", "string"),
    ("'101'::varbit", "101", "string"),
    ("point(1, 2.5)", "(1,2.5)", None),
    ("NULL::xml", None, "string"),
    ("'a fat cat'::tsvector", "'a' 'cat' 'fat'", "string"),
    ("ROW(1, 'x')", "(1,x)", None),
]  # fmt: skip

MYSQL = [
    ("NULL", None, None),
    ("col_boolean", True, "boolean"),
    ("col_tinyint", -128, "integer"),
    ("col_smallint", 32767, "integer"),
    ("col_mediumint", 8388607, "integer"),
    ("col_int", -2147483648, "integer"),
    ("col_int_unsigned", 4294967295, "integer"),
    ("col_bigint", BIG, "integer"),
    ("col_bigint_unsigned", "18446744073709551615", "integer"),
    ("col_zerofill", 42, "integer"),
    ("col_decimal", "1.10", "float"),
    ("col_wide_decimal", "12345678901234567890.123456789", "float"),
    ("col_float", 0.5, "float"),
    ("col_double", 0.1, "float"),
    ("col_bit1", 1, "integer"),
    ("col_bit64", "18446744073709551615", "integer"),
    ("col_year", 2024, "integer"),
    ("col_date", "2024-02-29", "date"),
    ("col_zero_date", "0000-00-00", "date"),
    ("col_datetime", "2024-01-02T03:04:05", "timestamp"),
    ("col_datetime6", "2024-01-02T03:04:05.123456", "timestamp"),
    ("col_zero_datetime", "0000-00-00 00:00:00", "timestamp"),
    ("col_timestamp", "2024-01-02T03:04:05", "timestamp"),
    ("col_time", "23:59:59", "string"),
    ("col_long_time", "-838:59:59", "string"),
    ("col_char", "ab", "string"),
    ("col_varchar", "größe 日本 🦆", "string"),
    ("col_latin1", "größe", "string"),
    ("col_text", 'tab\t line\n quote" back\\', "string"),
    ("col_empty", "", "string"),
    ("col_enum", "small", "string"),
    ("col_set", "a,b", "string"),
    ("col_binary", base64.b64encode(b"ab\0\0").decode(), None),
    ("col_varbinary", "AP8Q", None),
    ("col_blob", "AP8Q", None),
    ("col_json", {"a": [1, None, True], "big": "9007199254740993", "f": 1.5}, None),
    ("col_point", "POINT(1 2.5)", None),
    ("col_line", "LINESTRING(0 0,1 1)", None),
    ("col_polygon", "POLYGON((0 0,4 0,4 4,0 0),(1 1,2 1,2 2,1 1))", None),
    ("col_multipoint", "MULTIPOINT(0 0,1 1)", None),
    ("col_multipolygon", "MULTIPOLYGON(((0 0,4 0,4 4,0 0)))", None),
    ("col_collection", "GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))", None),
    ("1 + 1", 2, "integer"),
    ("1 = 1", 1, "integer"),
    ("1.5 * 2", "3.0", "float"),
    ("COUNT(*) OVER ()", 1, "integer"),
    ("CONCAT('a', 1)", "a1", "string"),
    ("'1'", "1", "string"),
    ("JSON_OBJECT('a', 1)", {"a": 1}, None),
    ("CAST('2024-01-02' AS DATE)", "2024-01-02", "date"),
    ("X'00ff'", "AP8=", None),
]

MYSQL_TABLE = """
CREATE TABLE kinds (
  col_boolean boolean, col_tinyint tinyint, col_smallint smallint, col_mediumint mediumint, col_int int,
  col_int_unsigned int unsigned, col_bigint bigint, col_bigint_unsigned bigint unsigned,
  col_zerofill int(5) zerofill, col_decimal decimal(10,2), col_wide_decimal decimal(40,9), col_float float,
  col_double double, col_bit1 bit(1), col_bit64 bit(64), col_year year, col_date date, col_zero_date date,
  col_datetime datetime, col_datetime6 datetime(6), col_zero_datetime datetime, col_timestamp timestamp NULL,
  col_time time, col_long_time time, col_char char(4), col_varchar varchar(20),
  col_latin1 varchar(20) CHARACTER SET latin1, col_text text, col_empty varchar(5),
  col_enum enum('small','large'), col_set set('a','b','c'), col_binary binary(4), col_varbinary varbinary(4),
  col_blob blob, col_json json, col_point point, col_line linestring, col_polygon polygon,
  col_multipoint multipoint, col_multipolygon multipolygon, col_collection geometrycollection)
"""

MYSQL_ROW = r"""
INSERT INTO kinds VALUES (
  true, -128, 32767, 8388607, -2147483648, 4294967295, 9007199254740992, 18446744073709551615, 42,
  1.10, 12345678901234567890.123456789, 0.5, 0.1, b'1', 18446744073709551615, 2024, '2024-02-29', '0000-00-00',
  '2024-01-02 03:04:05', '2024-01-02 03:04:05.123456', '0000-00-00 00:00:00', '2024-01-02 03:04:05',
  '23:59:59', '-838:59:59', 'ab', 'größe 日本 🦆', 'größe', 'tab\t line\n quote" back\\', '', 'small', 'a,b',
  'ab', x'00ff10', x'00ff10', '{"a": [1, null, true], "big": 9007199254740993, "f": 1.5}',
  ST_GeomFromText('POINT(1 2.5)'), ST_GeomFromText('LINESTRING(0 0,1 1)'),
  ST_GeomFromText('POLYGON((0 0,4 0,4 4,0 0),(1 1,2 1,2 2,1 1))'), ST_GeomFromText('MULTIPOINT(0 0,1 1)'),
  ST_GeomFromText('MULTIPOLYGON(((0 0,4 0,4 4,0 0)))'),
  ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))'))
"""


@pytest.fixture(scope="module")
def postgres_kinds(postgres):
    postgres.run("CREATE TYPE mood AS ENUM ('happy', 'sad')")
    postgres.run("CREATE DOMAIN positive AS int CHECK (VALUE > 0)")
    postgres.run("CREATE TYPE pair AS (a int, b text)")
    return postgres


@pytest.fixture(scope="module")
def mysql_kinds(mysql):
    mysql.run("SET sql_mode = ''")
    mysql.run("DROP TABLE IF EXISTS kinds")
    mysql.run(MYSQL_TABLE)
    mysql.run(MYSQL_ROW)
    return mysql


def same(shown, value, data_type) -> None:
    assert shown.rows == [[value]]
    assert type(shown.rows[0][0]) is type(value)
    assert shown.column_types == [data_type]
    json.dumps(shown.rows, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(("expression", "value", "data_type"), POSTGRESQL)
def test_postgresql_values_arrive_as_what_they_are(postgres_kinds, expression, value, data_type):
    same(run_preview(postgres_kinds.reader, f"SELECT {expression}"), value, data_type)


@pytest.mark.parametrize(("expression", "value", "data_type"), MYSQL)
def test_mysql_values_arrive_as_what_they_are(mysql_kinds, expression, value, data_type):
    same(run_preview(mysql_kinds.reader, f"SELECT {expression} FROM kinds"), value, data_type)


def test_all_types_at_once_are_valid_json(postgres_kinds, mysql_kinds):
    for each, table, source in (
        (postgres_kinds, POSTGRESQL, ""),
        (mysql_kinds, MYSQL, " FROM kinds"),
    ):
        sql = "SELECT " + ", ".join(row[0] for row in table) + source
        shown = run_preview(each.reader, sql)

        assert shown.rows == [[row[1] for row in table]]
        assert shown.column_types == [row[2] for row in table]
        json.loads(json.dumps(shown.rows, allow_nan=False))


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
def test_an_instant_keeps_its_offset_whatever_the_account_s_zone(postgres, zone):
    postgres.run(f"ALTER ROLE {postgres.reader.username} SET timezone = '{zone}'")
    try:
        pool.close_idle()
        shown = run_preview(postgres.reader, "SELECT timestamptz '2024-01-02 03:04:05+00'").rows[0][
            0
        ]
    finally:
        postgres.run(f"ALTER ROLE {postgres.reader.username} RESET timezone")
        pool.close_idle()

    assert (
        shown
        == {
            "UTC": "2024-01-02T03:04:05+00:00",
            "Asia/Kolkata": "2024-01-02T08:34:05+05:30",
            "America/New_York": "2024-01-01T22:04:05-05:00",
        }[zone]
    )


def with_settings(postgres, settings: list[str], sql: str):
    """Preview as an account that has settings of its own."""
    role = postgres.reader.username
    for setting in settings:
        postgres.run(f"ALTER ROLE {role} SET {setting}")
    pool.close_idle()
    try:
        return run_preview(postgres.reader, sql).rows
    finally:
        postgres.run(f"ALTER ROLE {role} RESET ALL")
        pool.close_idle()


def test_an_account_s_own_formats_do_not_change_the_values(postgres):
    shown = with_settings(
        postgres,
        ["datestyle = 'German'", "bytea_output = 'escape'", "extra_float_digits = 0"],
        r"SELECT DATE '2024-02-29', '\xff5c41'::bytea, 0.1::float8 + 0.2",
    )

    assert shown == [["2024-02-29", "/1xB", 0.30000000000000004]]


def test_they_do_not_in_a_session_that_was_used_before_either(postgres):
    role = postgres.reader.username
    postgres.run(f"ALTER ROLE {role} SET datestyle = 'SQL, DMY'")
    pool.close_idle()
    sql = "SELECT DATE '2024-02-29', ARRAY[TIMESTAMP '2024-01-02 03:04:05'], '05/06/23'::date"
    try:
        shown = [run_preview(postgres.reader, sql).rows for _ in range(3)]
    finally:
        postgres.run(f"ALTER ROLE {role} RESET ALL")
        pool.close_idle()

    assert shown == [[["2024-02-29", ["2024-01-02T03:04:05"], "2023-06-05"]]] * 3


@pytest.mark.parametrize(
    ("style", "meant"),
    [
        ("ISO, DMY", "2023-06-05"),
        ("SQL, DMY", "2023-06-05"),
        ("ISO, MDY", "2023-05-06"),
        ("Postgres, YMD", "2005-06-23"),
    ],
)
def test_a_date_is_read_in_the_account_s_own_order(postgres, style, meant):
    shown = with_settings(postgres, [f"datestyle = '{style}'"], "SELECT '05/06/23'::date")

    assert shown == [[meant]]


def test_an_interval_is_written_in_the_account_s_own_style(postgres):
    shown = with_settings(postgres, ["intervalstyle = 'iso_8601'"], "SELECT INTERVAL '1 day'")

    assert shown == [["P1D"]]


def test_a_backslash_that_the_account_reads_in_another_way_is_refused(postgres):
    with pytest.raises(StatementRefused, match="standard_conforming_strings is off"):
        with_settings(postgres, ["standard_conforming_strings = off"], r"SELECT 'a\'")

    assert with_settings(postgres, ["standard_conforming_strings = off"], "SELECT 'a'") == [["a"]]


@pytest.mark.parametrize("number", ["16777216", "123456.789", "0.1", "3.4028235e38", "-1e-45"])
def test_a_float_of_mysql_is_exact(mysql, number):
    mysql.run("CREATE OR REPLACE TABLE floats (id int, f float)")
    mysql.run(f"INSERT INTO floats VALUES (2, {number}), (1, NULL)")
    expected = struct.unpack("f", struct.pack("f", float(number)))[0]

    shown = run_preview(mysql.reader, "SELECT f, f AS F, id AS f FROM floats ORDER BY id DESC")

    assert shown.columns == ["f", "F", "f"]
    assert shown.column_types == ["float", "float", "integer"]
    assert struct.unpack("f", struct.pack("f", shown.rows[0][0]))[0] == expected
    assert len(str(shown.rows[0][0])) <= 14
    assert shown.rows[1] == [None, None, 1]


@pytest.mark.parametrize(
    "sql",
    [
        "WITH x AS (SELECT f FROM few_floats) SELECT f FROM x ORDER BY f DESC",
        "WITH RECURSIVE x(a, f) AS (SELECT f, f FROM few_floats), y AS (SELECT f FROM x) "
        "(SELECT f FROM y) ORDER BY f DESC",
        "WITH w(c0) AS (SELECT f FROM few_floats) SELECT c0 AS f FROM w ORDER BY c0 DESC -- all",
        "SELECT DISTINCT SQL_NO_CACHE HIGH_PRIORITY f FROM few_floats ORDER BY f DESC",
        "SELECT /*!40001 SQL_NO_CACHE */ f FROM few_floats ORDER BY f DESC",
        "SELECT SQL_CALC_FOUND_ROWS SQL_BUFFER_RESULT f FROM few_floats ORDER BY f DESC",
    ],
)
def test_a_float_is_exact_in_a_query_that_is_not_put_into_another_as_it_is(mysql, sql):
    mysql.run("CREATE OR REPLACE TABLE few_floats (f float)")
    mysql.run("INSERT INTO few_floats VALUES (0.1), (16777216)")

    shown = run_preview(mysql.reader, sql)

    assert (shown.columns, shown.rows) == (["f"], [[16777216], [0.1]])


def test_a_query_that_is_run_again_for_its_floats_counts_from_its_start(mysql):
    mysql.run("CREATE OR REPLACE TABLE few_floats (f float)")
    mysql.run("INSERT INTO few_floats VALUES (0.5)")

    shown = run_preview(mysql.reader, "SELECT @n IS NULL, @n := 5, f FROM few_floats")

    assert shown.rows == [[1, 5, 0.5]]


def test_tinyint_1_is_a_boolean_unless_it_holds_another_number(mysql):
    mysql.run("CREATE TABLE flags (flag boolean)")
    mysql.run("INSERT INTO flags VALUES (0), (1), (5), (NULL)")

    shown = run_preview(mysql.reader, "SELECT flag FROM flags")
    assert shown.rows == [[False], [True], [5], [None]]
    assert [type(row[0]) for row in shown.rows] == [bool, bool, int, type(None)]


def test_long_binary_is_cut_on_a_boundary_of_base64(server):
    expression = {
        "postgresql": "decode(repeat('00', 70000), 'hex')",
        "mysql": "CAST(repeat('\\0', 70000) AS BINARY)",
    }[server.kind]
    shown = run_preview(server.reader, f"SELECT {expression}").rows[0][0]

    kept, mark = shown.split("…")
    assert base64.b64decode(kept, validate=True) == bytes(65_535)
    assert mark == "[cut: 70000 bytes]"


@pytest.mark.parametrize(
    "written",
    ["[" * 100_000, "[" * 200 + "]" * 200, "{'a': 1}", "[NaN]x", '"\\ud800', ""],
)
def test_what_is_not_json_or_too_deep_stays_text(written):
    shown = values.json_value(written.encode())

    assert shown.startswith(written[:100])


def test_json_constants_that_json_lacks_become_text():
    assert values.json_value(b"[NaN, Infinity, -Infinity]") == ["NaN", "Infinity", "-Infinity"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (b"0", 0), (b"-0.0", 0.0), (b"1.0", 1.0), (b"1e2", 100.0), (b"0.1", 0.1),
        (b"123456789012345678901234567890", "123456789012345678901234567890"),
        (b"3.14159265358979323846", "3.14159265358979323846"), (b"1e999", "1e999"),
    ],
)  # fmt: skip
def test_numbers_inside_json_stay_exact(written, value):
    assert values.json_value(written) == value


def test_bytes_that_are_no_utf_8_show_what_they_are():
    assert values.text(b"a\xffb") == "a\\xffb"
