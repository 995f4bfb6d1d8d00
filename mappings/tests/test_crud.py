import time
from contextlib import ExitStack

import pytest
from bson import ObjectId

from common.tests.client import column, direct, document, made, mapping_body, schema_body
from sources import statement


@pytest.fixture
def mapping(api):
    """The path of a mapping whose one rule writes `id`."""
    path = f"mappings/{made(api, 'mappings')['id']}"
    api.create(f"{path}/column-mappings", direct("id", "id"))
    return path


@pytest.mark.parametrize(
    "source_query",
    [
        "SELECT 1",
        "select a, b from c where d = 'x;y'",
        "WITH a AS (SELECT 1) SELECT * FROM a;",
        "SELECT 1 -- note",
        "VALUES (1), (2)",
    ],
)
def test_a_query_is_one_read_only_statement_and_kept_as_written(api, source_query):
    assert made(api, "mappings", source_query=source_query)["source_query"] == source_query


@pytest.mark.parametrize(
    "source_query",
    ["DELETE FROM a", "SELECT 1; DELETE FROM a", "INSERT INTO a VALUES (1)", "nonsense"],
)
def test_a_query_that_is_anything_else_is_a_400_on_it(api, source_query):
    answer = api.post("mappings", mapping_body(api, source_query=source_query))
    assert (answer.status, answer.codes) == (400, {"source_query": "refused_statement"})


def test_a_save_waits_for_a_reader_of_statements_and_says_when_none_is_free(api, monkeypatch):
    body = mapping_body(api)
    monkeypatch.setattr(statement, "CHECK_S", 0.3)
    with ExitStack() as held:
        for _ in range(statement.checkers.limits.per_key):
            held.enter_context(statement.checkers.child("check", time.monotonic() + 30))
        answer = api.post("mappings", body)
    assert (answer.status, answer.code) == (429, "too_many_requests")
    assert "retry-after" in answer.headers


def test_a_new_connection_is_taken_over(api):
    record, other = made(api, "mappings"), made(api, "connections")
    path = f"mappings/{record['id']}"
    change = {"source_connection_id": other["id"]}
    assert api.patch(path, change).json()["source_connection_id"] == other["id"]
    assert api.delete(f"connections/{record['source_connection_id']}").status == 204
    assert api.delete(f"connections/{other['id']}").status == 409


def test_references_are_taken_in_capitals_and_given_back_in_small(api):
    connection = made(api, "connections")["id"]
    record = made(api, "mappings", source_connection_id=connection.upper())
    assert record["source_connection_id"] == connection


def test_both_unknown_references_are_named_at_once(api):
    unknown = {"source_connection_id": "0" * 24, "target_schema_id": "1" * 24}
    answer = api.post("mappings", mapping_body(api, **unknown))
    assert answer.errors == {
        "source_connection_id": ("unknown_reference", "There is no connection with this id."),
        "target_schema_id": ("unknown_reference", "There is no schema with this id."),
    }


def test_a_schema_that_has_what_the_rules_write_may_take_over(api, mapping):
    other = api.create("schemas", schema_body("id", "more"))
    answer = api.patch(mapping, {"target_schema_id": other["id"]})
    assert (answer.status, answer.json()["target_schema_id"]) == (200, other["id"])
    assert len(api.get(f"{mapping}/column-mappings").json()) == 1


@pytest.mark.parametrize("names", [("name",), ("ID", "name")])
def test_a_schema_that_lacks_what_the_rules_write_is_a_400(api, mapping, names):
    before = api.get(mapping).json()
    other = api.create("schemas", schema_body(*names))
    answer = api.put(mapping, before | {"target_schema_id": other["id"], "name": "changed"})
    assert (answer.status, answer.errors) == (
        400,
        {
            "target_schema_id": (
                "missing_columns",
                'The schema lacks "id", which the mapping\'s rules write. First delete these rules '
                "and save, or give the schema what it lacks.",
            )
        },
    )
    assert api.get(mapping).json() == before


def test_a_mapping_without_rules_may_move_to_any_schema(api, mapping):
    api.delete(f"{mapping}/column-mappings")
    other = api.create("schemas", schema_body("other"))
    assert api.patch(mapping, {"target_schema_id": other["id"]}).status == 200


def test_deleting_a_mapping_deletes_its_rules_and_no_others(api, stored, mapping):
    kept = document(stored, "column_mappings")
    assert api.delete(mapping).status == 204
    assert [rule["_id"] for rule in stored.column_mappings.find()] == [kept["_id"]]
    assert api.get(f"{mapping}/column-mappings").status == 404


def test_one_that_schedules_use_stays_with_its_rules_and_the_refusal_names_them(api, mapping):
    record = api.get(mapping).json()
    for name in ("nightly", "hourly"):
        made(api, "schedules", name=name, mapping_id=record["id"])
    answer = api.delete(mapping)
    assert (answer.status, answer.code) == (409, "in_use")
    assert answer.detail == (
        f'The mapping "{record["name"]}" is in use by the schedules "hourly", "nightly".'
    )
    assert len(api.get(f"{mapping}/column-mappings").json()) == 1


def test_one_whose_references_are_gone_can_still_be_renamed(api, stored):
    written = document(
        stored, "mappings", source_connection_id=ObjectId(), target_schema_id=ObjectId()
    )
    path = f"mappings/{written['_id']}"
    record = api.get(path).json()
    assert api.put(path, record | {"name": "changed"}).status == 200
    assert api.delete(path).status == 204


def test_columns_of_the_schema_in_another_order_are_the_same_to_the_rules(api, mapping):
    schema = api.get(mapping).json()["target_schema_id"]
    moved = [column("email"), column("new"), column("id"), column("name")]
    assert api.patch(f"schemas/{schema}", {"columns": moved}).status == 200
    assert api.post(f"{mapping}/column-mappings", direct("x", "new")).status == 201
