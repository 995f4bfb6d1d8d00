"""A PostgreSQL database without an encoding holds whatever bytes somebody wrote."""

from contextlib import closing
from dataclasses import replace

import psycopg2
import pytest

from sources.asking import pool
from sources.errors import QueryFailed
from sources.preview import describe_table, list_tables, run_preview


@pytest.fixture(scope="module")
def bytes_of_any_kind(postgres):
    name = f"{postgres.params.database}_ascii"
    postgres.run(
        f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0"
        " LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    params = replace(postgres.params, database=name)
    with closing(psycopg2.connect(
        host=params.host, port=params.port, dbname=name, user=params.username,
        password=params.password,
    )) as connection:  # fmt: skip
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SET client_encoding = 'SQL_ASCII'")
        cursor.execute("CREATE TYPE odd AS ENUM ('x')")
        cursor.execute(
            b"CREATE TABLE \"t\xe4ble\" AS SELECT 'a\xffb'::text AS \"n\xfcme\", 'x'::odd AS odd"
        )
    yield params
    pool.close_idle()
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")


def test_bytes_that_are_no_text_are_shown_as_what_they_are(bytes_of_any_kind):
    shown = run_preview(bytes_of_any_kind, "SELECT 'a' || chr(255) || 'b', 'größe', 'x'::odd, 1")

    assert shown.rows == [["a\\xffb", "größe", "x", 1]]


def test_odd_names_do_not_keep_the_list_from_being_shown(bytes_of_any_kind):
    assert [table.name for table in list_tables(bytes_of_any_kind)] == ["t\\xe4ble"]


def test_a_table_of_which_the_name_is_text_is_described(bytes_of_any_kind):
    assert describe_table(bytes_of_any_kind, "größe") == []


def test_what_the_database_says_is_in_its_letters(bytes_of_any_kind):
    with pytest.raises(QueryFailed, match='column "größe" does not exist'):
        run_preview(bytes_of_any_kind, "SELECT größe")
