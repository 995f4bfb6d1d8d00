import pytest

from common.tests.client import column, document, made, mapping_body

DEFAULTS = {
    "target_id": None,
    "write_mode": "append",
    "key_fields": [],
    "cursor_column": None,
    "cursor_lag_s": 0,
    "max_rejected": 0,
    "split_column": None,
    "engine": "auto",
}


def mapping(api, schema_name="Orders 2026", **changes):
    schema = made(api, "schemas", name=schema_name, columns=[column("id"), column("name")])
    return mapping_body(api, target_schema_id=schema["id"], **changes)


def test_all_are_optional(api, stored):
    record = api.create("mappings", mapping(api))
    assert {name: record[name] for name in DEFAULTS} == DEFAULTS
    assert record["target_table"] == stored.mappings.find_one()["target_table"] == "Orders_2026"


def test_documents_without_them_have_the_defaults(api, stored):
    schema = document(stored, "schemas", name="2 a-ü")
    written = document(stored, "mappings", target_schema_id=schema["_id"])
    record = api.get(f"mappings/{written['_id']}").json()
    assert {name: record[name] for name in DEFAULTS} == DEFAULTS
    assert record["target_table"] == "_2_a__"
    assert api.get("mappings").json() == [record]
    answer = api.put(f"mappings/{written['_id']}", record).json()
    assert answer | {"verification": None} == record | {"verification": None}
    assert "target_table" not in stored.mappings.find_one()


@pytest.mark.parametrize(
    ("schema", "table"), [("a b", "a_b"), ("9x", "_9x"), ("ü", "_"), ("x" * 100, "x" * 63)]
)
def test_the_table_is_named_like_the_schema_and_stays(api, schema, table):
    record = api.create("mappings", mapping(api, schema))
    assert record["target_table"] == table
    api.patch(f"schemas/{record['target_schema_id']}", {"name": "new name"})
    path = f"mappings/{record['id']}"
    assert api.get(path).json()["target_table"] == table
    assert api.patch(path, {"target_table": None}).json()["target_table"] == "new_name"
    assert api.patch(path, {"target_table": " mine "}).json()["target_table"] == "mine"


@pytest.mark.parametrize("name", ["_rejected", "_delta_log", "_etl_x", "1a", "a-b", "a" * 64, "ü"])
def test_names_that_no_table_has(api, name):
    assert "target_table" in api.post("mappings", mapping(api, target_table=name)).errors


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"write_mode": "merge"}, "write_mode"),
        ({"write_mode": "upsert"}, "key_fields"),
        ({"write_mode": "upsert", "key_fields": []}, "key_fields"),
        ({"write_mode": "upsert", "key_fields": ["id", "id"]}, "key_fields"),
        ({"write_mode": "upsert", "key_fields": ["nope"]}, "key_fields"),
        ({"key_fields": "id"}, "key_fields"),
        ({"write_mode": "replace", "cursor_column": "id"}, "cursor_column"),
        ({"cursor_lag_s": -1}, "cursor_lag_s"),
        ({"max_rejected": -1}, "max_rejected"),
        ({"max_rejected": "x"}, "max_rejected"),
        ({"engine": "fast"}, "engine"),
        ({"target_id": "x"}, "target_id"),
        ({"target_id": "0" * 24}, "target_id"),
    ],
)
def test_what_is_refused(api, body, field):
    assert field in api.post("mappings", mapping(api, **body)).errors


def test_null_means_no_limit_and_nothing_the_default(api, stored):
    record = api.create("mappings", mapping(api, max_rejected=None, write_mode=None))
    assert (record["max_rejected"], record["write_mode"]) == (None, "append")
    path = f"mappings/{record['id']}"
    assert api.get(path).json()["max_rejected"] is None
    assert api.patch(path, {"description": "x"}).json()["max_rejected"] is None
    assert api.patch(path, {"max_rejected": 5}).json()["max_rejected"] == 5
    assert api.patch(path, {"max_rejected": None}).json()["max_rejected"] is None


def test_keys_are_written_and_kept(api):
    body = mapping(api, write_mode="upsert", key_fields=["id"])
    path = f"mappings/{api.create('mappings', body)['id']}"
    rule = {"type": "direct", "source_columns": ["a"], "target_fields": ["name"]}
    api.put(f"{path}/column-mappings", [rule])
    assert api.patch(path, {"key_fields": ["name"]}).status == 200
    assert "key_fields" in api.patch(path, {"key_fields": ["id"]}).errors
    answer = api.patch(path, {"write_mode": "append", "key_fields": ["nope"]})
    assert answer.json()["key_fields"] == ["nope"]
