"""References that another program stored as 24 hex digits of text count as references."""

import pytest
from bson import ObjectId

from common.tests.client import direct, document, made


@pytest.fixture(params=[str, lambda one: str(one).upper()], ids=["lower", "upper"])
def spelled(request):
    return request.param


def test_they_are_shown_found_and_in_use(api, stored, spelled):
    connection, schema = (ObjectId(made(api, kind)["id"]) for kind in ("connections", "schemas"))
    references = {
        "source_connection_id": spelled(connection),
        "target_schema_id": spelled(schema),
    }
    mapping = document(stored, "mappings", **references)

    shown = api.get(f"mappings/{mapping['_id']}").json()
    assert (shown["source_connection_id"], shown["target_schema_id"]) == (
        str(connection),
        str(schema),
    )
    assert len(api.get(f"mappings?source_connection_id={connection}").json()) == 1
    assert api.delete(f"connections/{connection}").code == "in_use"
    assert api.delete(f"schemas/{schema}").code == "in_use"
    fewer = {"columns": [{"name": "other", "data_type": "string"}]}
    assert api.patch(f"schemas/{schema}", fewer).code == "in_use"


def test_rules_hang_on_their_mapping(api, stored, spelled):
    mapping = ObjectId(made(api, "mappings")["id"])
    rule = document(stored, "column_mappings", mapping_id=spelled(mapping))
    rules = f"mappings/{mapping}/column-mappings"

    (shown,) = api.get(rules).json()
    assert (shown["id"], shown["mapping_id"]) == (str(rule["_id"]), str(mapping))
    assert api.post(rules, direct()).status == 400  # "id" is written already
    assert api.patch(f"{rules}/{rule['_id']}", {"source_columns": ["b"]}).status == 200
    assert api.delete(f"mappings/{mapping}").status == 204
    assert stored.column_mappings.count_documents({}) == 0


def test_a_change_of_something_else_leaves_them_as_they_are(api, stored):
    references = {name: str(document(stored, kind)["_id"]) for name, kind in (
        ("source_connection_id", "connections"), ("target_schema_id", "schemas"),
    )}  # fmt: skip
    mapping = document(stored, "mappings", **references)
    assert api.patch(f"mappings/{mapping['_id']}", {"description": "new"}).status == 200
    after = stored.mappings.find_one({"_id": mapping["_id"]})
    assert {name: after[name] for name in references} == references
