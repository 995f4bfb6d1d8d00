"""What a save lets through runs, and what it refuses is not able to: of both kinds of sources."""

from datetime import UTC, datetime

import pytest
from bson import ObjectId

from common.tests.client import column, direct, made
from mappings.tests.conftest import connection_to
from runs.tests.workers import ended, started, worker
from sources.tests.conftest import mysql, postgres, server

__all__ = ["mysql", "postgres", "server"]

SAVED = [
    ("VALUES (1), (2)", None, "integer", {}),
    ("SELECT id, note FROM orders", "id", "integer", {"cursor_column": "note"}),
    (
        "SELECT id FROM orders WHERE at < {{slot_end}} AND note <> '{{slot_start}}'",
        "id",
        "float",
        {},
    ),
    ("SELECT o.*, id AS again FROM orders o", "at", "date", {"split_column": "again"}),
]
REFUSED = [
    ("SELECT o.*, p.* FROM orders o, orders p", "id", "integer", {}, "ambiguous_column"),
    ("SELECT id, note FROM orders", "id", "timestamp", {}, "impossible_cast"),
    ("SELECT id FROM orders; SELECT 1", "id", "integer", {}, "query_refused"),
    ("SELECT id FROM orders WHERE at < {{slot_ende}}", "id", "integer", {}, "query_refused"),
    ("SELECT id FROM orders", "id", "integer", {"cursor_column": "ID"}, "unknown_column"),
    ("SELECT id FROM orders", "id", "integer",
     {"write_mode": "upsert", "key_fields": ["k", "k"]}, "mapping_incomplete"),
]  # fmt: skip


@pytest.fixture
def save(api, server):
    """Return what saves a mapping and its rule: the mapping, and whether all of it was taken."""
    server.run("DROP TABLE IF EXISTS orders")
    server.run("CREATE TABLE orders (id int, at timestamp, note varchar(20))")
    server.run("INSERT INTO orders VALUES (1, '2024-01-31 10:00:00', 'a')")
    connection = connection_to(api, server.reader)

    def post(query, name, data_type, more):
        schema = made(api, "schemas", columns=[column("k", data_type)])["id"]
        body = {
            "name": f"to {schema}",
            "source_connection_id": connection,
            "target_schema_id": schema,
        }
        record = api.post("mappings", {**body, "source_query": query, **more})
        is_saved = record.status == 201
        if not is_saved:
            record = api.post("mappings", {**body, "source_query": "SELECT 1 AS one"})
        path = f"mappings/{record.json()['id']}/column-mappings"
        rule = api.post(path, direct(name, "k"))
        return record.json(), is_saved and rule.status == 201

    return post


def forced(stored, mapping, query, name, more):
    """Store a mapping that a save refused, as another program would."""
    key = ObjectId(mapping["id"])
    stored.mappings.update_one({"_id": key}, {"$set": {"source_query": query, **more}})
    stored.column_mappings.delete_many({"mapping_id": key})
    now = datetime.now(UTC)
    rule = {**direct(name, "k"), "mapping_id": key, "created_at": now, "updated_at": now}
    stored.column_mappings.insert_one(rule)


def test_what_is_saved_runs_and_what_is_refused_is_not_able_to(api, stored, server, save, tmp_path):
    first = "column1" if server.kind == "postgresql" else "1"
    runs = []
    for query, name, data_type, more in SAVED:
        mapping, is_saved = save(query, name or first, data_type, more)
        assert is_saved, query
        runs.append((started(api, mapping), query, None))
    for query, name, data_type, more, code in REFUSED:
        mapping, is_saved = save(query, name, data_type, more)
        assert not is_saved, query
        forced(stored, mapping, query, name, more)
        runs.append((started(api, mapping), query, code))
    with worker(tmp_path, "--concurrency", "4"):
        for run, query, code in runs:
            found = ended(api, run)
            assert (found["error"] or {}).get("code") == code, (query, found["error"])
            assert found["status"] == ("failed" if code else "succeeded"), query
            assert found["stage"] == ("plan" if code else "commit"), query
