"""A survey tells what a query returns and which tables it means, and reads no row."""

import pytest

from sources.contract import Relation
from sources.errors import QueryFailed
from sources.preview import survey


@pytest.fixture(scope="module", autouse=True)
def tables(postgres, mysql):
    postgres.run('CREATE TABLE shop.orders (id int, "Total" numeric, gone int)')
    postgres.run("ALTER TABLE shop.orders DROP COLUMN gone")
    postgres.run("CREATE TABLE surveyed (id int, note bytea)")
    mysql.run("CREATE TABLE surveyed (id int, note blob)")


def test_the_columns_and_tables_of_a_query_are_told(server):
    names = [(None, "surveyed"), (None, "nowhere"), ("no'\"`\\", "x")]
    found = survey(server.reader, "SELECT * FROM surveyed", names)
    assert [column.name for column in found.columns] == ["id", "note"]
    schema = "public" if server.kind == "postgresql" else server.params.database
    assert found.relations.found == (Relation(schema, "surveyed", ("id", "note")),)
    assert schema in found.relations.search_path


def test_a_schema_of_its_own_and_dropped_columns(postgres):
    found = survey(postgres.reader, "SELECT 1", [("shop", "orders"), (None, "orders")])
    assert found.relations.found == (Relation("shop", "orders", ("id", "Total")),)
    assert found.relations.search_path[-1] == "public"


def test_a_query_that_is_refused_says_where(server):
    with pytest.raises(QueryFailed) as raised:
        survey(server.reader, "SELECT nope\nFROM surveyed")
    assert "nope" in raised.value.message
