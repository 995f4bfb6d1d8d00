"""Schemas in the admin: columns as rows, and a table that only grows."""

import pytest
from django.urls import reverse

from common.tests.client import column, made, schema_document
from common.tests.operator import form_fields

LIST, ADD, CHANGE = (f"schemas_schema_{page}" for page in ("changelist", "add", "change"))


def rows(*columns):
    names, types = zip(*columns, strict=True) if columns else ((), ())
    return {"columns-name": list(names), "columns-data_type": list(types)}


def test_a_schema_is_added_row_by_row(operator, api):
    columns = [("id", "integer"), ("  email ", "string"), ("", "string")]
    assert operator.save(ADD, name="customers", **rows(*columns)) == {}
    (record,) = api.get("schemas").json()
    assert record["columns"] == [column("id", "integer"), column("email")]


def test_columns_are_added_and_moved(operator, api):
    record = made(api, "schemas")
    order = [("email", "string"), ("born", "date"), ("id", "string"), ("name", "string")]
    assert operator.save(CHANGE, record["id"], **rows(*order)) == {}
    stored = api.get(f"schemas/{record['id']}").json()["columns"]
    assert [(one["name"], one["data_type"]) for one in stored] == order


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ([], "columns"),
        ([("id", "string"), ("ID", "string")], "columns.1.name"),
        ([("x" * 101, "string")], "columns.0.name"),
        ([("id", "money")], "columns.0.data_type"),
        ([("a\u202eb", "string")], "columns.0.name"),
    ],
)
def test_what_the_api_refuses_is_refused_with_the_same_sentence(operator, api, columns, field):
    body = {"name": "s", "columns": [column(*one) for one in columns]}
    sentence = api.post("schemas", body).messages[field]
    assert operator.save(ADD, name="s", **rows(*columns)) == {"columns": [sentence]}


def test_a_changed_type_is_refused_and_its_row_marked(operator, api):
    record = made(api, "schemas")
    body = {"columns": [column("id"), column("name", "date"), column("email")]}
    sentence = api.put(f"schemas/{record['id']}", body).messages["columns.1.data_type"]
    changes = rows(("id", "string"), ("name", "date"), ("email", "string"))
    fields = form_fields(operator.html(CHANGE, record["id"])) | changes
    answer = operator.post(CHANGE, record["id"], **fields)
    assert operator.errors(answer) == {"columns": [sentence]}
    assert answer.content.decode().count("etl-marked") == 1
    assert 'value="date" selected' in answer.content.decode()


def test_the_type_of_a_stored_column_is_shown_and_not_to_be_chosen(operator, api):
    record = made(api, "schemas")
    page = operator.html(CHANGE, record["id"])
    rows = page[: page.index("<template>")]
    assert rows.count("The type of a stored column never changes.") == 3
    assert '<select name="columns-data_type"' not in rows
    assert '<select name="columns-data_type"' in page


def test_columns_of_older_rules_stay(operator, api, stored):
    odd = [{"name": " total ", "data_type": "money"}, {"name": "x" * 120, "data_type": "string"}]
    stored.schemas.insert_one(schema := schema_document(name="old", columns=odd))
    assert operator.save(CHANGE, schema["_id"], description="changed") == {}
    after = stored.schemas.find_one()
    assert (after["columns"], after["description"]) == (odd, "changed")


def test_a_column_in_use_is_not_dropped(operator, api):
    record = made(api, "schemas")
    made(api, "mappings", name="orders", target_schema_id=record["id"])
    sentence = api.put(f"schemas/{record['id']}", {"columns": [column("id")]}).detail
    assert operator.save(CHANGE, record["id"], **rows(("id", "string"))) == {"columns": [sentence]}


def test_a_taken_name_is_refused_with_the_sentence_of_the_api(operator, api):
    made(api, "schemas", name="taken")
    sentence = api.post("schemas", {"name": "taken", "columns": [column("id")]}).messages["name"]
    assert operator.save(ADD, name="taken", **rows(("id", "string"))) == {"name": [sentence]}


def test_deleting_what_is_in_use_says_by_what(operator, api):
    record = made(api, "schemas", name="customers")
    made(api, "mappings", name="orders", target_schema_id=record["id"])
    url = reverse("admin:schemas_schema_delete", args=[record["id"]])
    answer = operator.client.post(url, {"post": "yes"})
    assert answer.context["protected"] == [
        'The schema "customers" is in use by the mapping "orders".'
    ]


def test_a_name_that_is_markup_is_shown_as_text(operator, api):
    record = made(api, "schemas", columns=[column("<script>alert(1)</script>")])
    for page in (operator.html(LIST), operator.html(CHANGE, record["id"])):
        assert "<script>alert(1)" not in page
