"""Documents that other programs wrote: with the first design's fields only, with more, or odd."""

import json
from datetime import datetime

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex
from bson.datetime_ms import DatetimeMS

from common.api.json import to_json
from common.documents import store
from common.documents.writes import unchanged
from common.tests.client import KINDS, direct, document, made, split
from connections.models import Connection

ODD = [
    None, "text", 5, Int64(2**62), float("nan"), True, [], ["a", None], [{"name": None}, 5],
    {"a": 1}, Decimal128("1.5"), Binary(b"\xff\x00"), Regex("a"), ObjectId(),
    datetime(1, 1, 1),  # noqa: DTZ001 - as the driver hands it over
]  # fmt: skip
FIELDS = {
    "connections": ["name", "db_type", "host", "port", "database", "username", "password",
                    "created_at", "updated_at", "last_tested_at", "last_test_status"],
    "schemas": ["name", "description", "columns", "created_at", "updated_at"],
    "mappings": ["name", "description", "source_connection_id", "source_query",
                 "target_schema_id", "created_at", "updated_at"],
    "schedules": ["name", "mapping_id", "cron_expression", "timezone", "enabled", "created_at",
                  "updated_at", "last_run_at", "next_run_at"],
    "column_mappings": ["type", "source_columns", "target_fields", "config", "created_at"],
}  # fmt: skip


def strict_json(answer):
    """Return the JSON of an answer. Raises where a parser that knows no NaN would."""
    return json.loads(answer.body, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def list_of(kind, stored_one):
    if kind == "column_mappings":
        return f"mappings/{stored_one['mapping_id']}/column-mappings"
    return kind


@pytest.mark.parametrize("kind", [*KINDS, "column_mappings"])
def test_the_first_designs_fields_are_enough(api, stored, kind):
    written = document(stored, kind)
    listed_at = list_of(kind, written)
    path = f"{listed_at}/{written['_id']}"
    record = api.get(path).json()
    assert record in api.get(listed_at).json()
    assert record["created_at"] == "2026-01-31T08:00:00.123Z"
    change = {"source_columns": ["other"]} if kind == "column_mappings" else {"name": "changed"}
    answer = api.put(path, record | change)
    assert answer.status == 200, answer.body
    kept = {name for name in written if name not in {"updated_at", "next_run_at", *change}}
    after = stored[kind].find_one({"_id": written["_id"]})
    assert {name: after[name] for name in kept} == {name: written[name] for name in kept}
    assert api.delete(path).status == 204
    assert stored[kind].count_documents({}) == 0


@pytest.mark.parametrize("kind", [*KINDS, "column_mappings"])
def test_fields_of_other_programs_survive_a_change(api, stored, kind):
    own = {"owner": {"team": "a", "x.y": [1, {"z": None}]}, "$odd": 1, "dotted.name": 2}
    written = document(stored, kind, **own)
    path = f"{list_of(kind, written)}/{written['_id']}"
    change = {"source_columns": ["other"]} if kind == "column_mappings" else {"name": "changed"}
    assert api.patch(path, change).status == 200
    after = stored[kind].find_one({"_id": written["_id"]})
    assert {name: after[name] for name in own} == own
    assert not set(own) & set(api.get(path).json())


def test_notes_beside_a_column_survive_a_change_of_the_schema(api, stored):
    columns = [
        {"name": "id", "data_type": "integer", "primary": True},
        {"name": "name", "data_type": "string", "width": 20},
    ]
    written = document(stored, "schemas", columns=columns)
    path = f"schemas/{written['_id']}"
    record = api.get(path).json()
    assert record["columns"] == [
        {"name": "id", "data_type": "integer"},
        {"name": "name", "data_type": "string"},
    ]
    new = {"name": "email", "data_type": "string"}
    api.put(path, record | {"columns": [new, *reversed(record["columns"])]})
    after = stored.schemas.find_one({"_id": written["_id"]})
    assert after["columns"] == [new, *reversed(columns)]


def test_notes_in_a_rules_config_survive_a_change_of_something_else(api, stored):
    schema = document(stored, "schemas")
    mapping = document(stored, "mappings", target_schema_id=schema["_id"])
    config = {"delimiter": None, "separator": None, "note": "ours"}
    written = document(stored, "column_mappings", mapping_id=mapping["_id"], config=config)
    path = f"mappings/{mapping['_id']}/column-mappings/{written['_id']}"
    assert api.patch(path, {"source_columns": ["other"]}).status == 200
    assert stored.column_mappings.find_one({"_id": written["_id"]})["config"] == config


@pytest.mark.parametrize("config", [None, {}, {"delimiter": ","}, "missing"])
def test_a_config_that_is_short_of_keys_is_read_with_nulls(api, stored, config):
    written = document(stored, "column_mappings", config=config)
    if config == "missing":
        stored.column_mappings.update_one({}, {"$unset": {"config": 1}})
    (record,) = api.get(list_of("column_mappings", written)).json()
    expected = config if isinstance(config, dict) else {}
    assert record["config"] == {"delimiter": None, "separator": None} | expected


DEFAULTS = {
    "ssl_mode": "prefer",
    "ssh_port": 22,
    "timezone": "UTC",
    "enabled": True,
    "verification": {"status": "unverified", "checked_at": None, "columns": [], "problems": []},
    "engine": "auto",
    "write_mode": "append",
    "key_fields": [],
    "cursor_lag_s": 0,
    "max_rejected": 0,
    "catch_up": "latest",
    "catch_up_window_s": 3600,
    "jitter_s": 0,
    "overlap": "skip",
}
"""What a field is read as that another program left out; null where it is not here."""


@pytest.mark.parametrize("kind", KINDS)
def test_missing_fields_are_read_as_null_or_their_default(api, stored, kind):
    stored[kind].insert_one({"_id": ObjectId(), "name": "bare"})
    (record,) = api.get(kind).json()
    assert record["name"] == "bare"
    given = {"id", "_id", "name"}
    assert {name: value for name, value in record.items() if name not in given} == {
        name: DEFAULTS.get(name) for name in record if name not in given
    }
    assert api.delete(f"{kind}/{record['id']}").status == 204


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, name) for kind, names in FIELDS.items() for name in names]
)
def test_an_odd_value_breaks_no_list_read_change_or_delete(api, stored, kind, field):
    around = references(stored, kind)
    if kind == "column_mappings":
        change = split("id", "name")
    elif kind == "schedules" and field != "enabled":
        change = {"enabled": False}
    else:
        change = {"name": "changed"}
    for odd in ODD:
        stored[kind].delete_many({})
        written = document(stored, kind, **around | {field: odd})
        listed_at = list_of(kind, written)
        path = f"{listed_at}/{written['_id']}"
        for address in (f"{listed_at}?limit=5", path):
            answer = api.get(address)
            assert answer.status == 200, (odd, answer.body)
            strict_json(answer)
        changed = api.patch(path, change)
        assert changed.status == 200, (odd, changed.body)
        strict_json(changed)
        assert api.delete(path).status == 204, odd


def references(stored, kind):
    """Return what every document of a kind refers to, so that it is made once."""
    if kind in ("connections", "schemas"):
        return {}
    mapping = document(stored, "mappings")
    if kind == "mappings":
        return {name: mapping[name] for name in ("source_connection_id", "target_schema_id")}
    return {"mapping_id": mapping["_id"]}


@pytest.mark.parametrize("field", ["source_columns", "target_fields", "config", "type"])
def test_an_odd_rule_does_not_stand_in_the_way_of_others(api, stored, field):
    mapping = document(stored, "mappings")
    path = f"mappings/{mapping['_id']}/column-mappings"
    for odd in ODD:
        stored.column_mappings.delete_many({})
        document(stored, "column_mappings", mapping_id=mapping["_id"], **{field: odd})
        assert api.post(path, direct("name", "name")).status == 201, odd
        assert api.put(path, [direct("name", "name")]).status == 200, odd


def test_ids_of_another_kind_break_no_list(api, stored):
    for identifier in ("text", 5, {"a": 1}):
        document(stored, "schemas", _id=identifier)
    records = api.get("schemas?ordering=name").json()
    assert [record["id"] for record in records] == ["text", 5, {"a": 1}]


def test_an_unused_config_key_is_stored_as_null(api, stored):
    mapping = made(api, "mappings")
    path = f"mappings/{mapping['id']}/column-mappings"
    api.create(path, [direct(), split("name", "email", delimiter=",")])
    assert [rule["config"] for rule in stored.column_mappings.find(sort=[("_id", 1)])] == [
        {"delimiter": None, "separator": None},
        {"delimiter": ",", "separator": None},
    ]


def test_documents_are_stored_as_the_first_design_has_them(api, stored):
    schedule = made(api, "schedules")
    mapping = stored.mappings.find_one({"_id": ObjectId(schedule["mapping_id"])})
    kept = stored.schedules.find_one({"_id": ObjectId(schedule["id"])})
    assert isinstance(kept["mapping_id"], ObjectId)
    assert isinstance(mapping["source_connection_id"], ObjectId)
    assert isinstance(mapping["target_schema_id"], ObjectId)
    assert isinstance(kept["next_run_at"], datetime)
    assert kept["last_run_at"] is None
    schema = stored.schemas.find_one({"_id": mapping["target_schema_id"]})
    assert schema["columns"][0] == {"name": "id", "data_type": "string"}
    connection = stored.connections.find_one({"_id": mapping["source_connection_id"]})
    assert isinstance(connection["port"], int)
    assert connection["last_tested_at"] is connection["last_test_status"] is None


def test_fields_that_a_change_adds_are_stored_in_the_order_its_etag_was_made_of(api, stored):
    found = document(stored, "schedules")
    known = list(stored["schedules"].find_one({"_id": found["_id"]}))

    changed = api.put(f"schedules/{found['_id']}", {"name": "renamed", "timezone": "Europe/Rome"})

    added = list(stored["schedules"].find_one({"_id": found["_id"]}))[len(known) :]
    assert added == sorted(added)
    assert api.get(f"schedules/{found['_id']}").etag == changed.etag


# --- What Python has no form for -----------------------------------------------------------------

FAR, BEFORE = DatetimeMS(253_402_300_800_000), DatetimeMS(-62_135_596_800_001)


@pytest.mark.parametrize(
    ("moment", "text"),
    [(FAR, "+010000-01-01T00:00:00.000Z"), (BEFORE, "+000000-12-31T23:59:59.999Z")],
)
def test_a_moment_beyond_pythons_years_is_told_as_javascript_does(moment, text):
    assert json.loads(to_json([moment])) == [text]


def test_the_driver_reads_what_python_has_no_form_for():
    """The embedded server refuses to store such documents; others do not."""
    odd = b"ab\xff\xc3"
    raw = bson.encode({"_id": 1, "name": "abcd", "updated_at": FAR}).replace(b"abcd", odd)

    found = store.decoded(raw)

    assert found == {"_id": 1, "name": "ab\ufffd\ufffd", "updated_at": FAR}
    assert unchanged(found) == {"_id": {"$eq": 1}, "updated_at": {"$eq": FAR}}
    connection = Connection.from_document(found)
    assert (connection.name, connection.updated_at) == ("ab\ufffd\ufffd", None)
    assert bson.encode({"updated_at": FAR}) == bson.encode({"updated_at": found["updated_at"]})
