import pytest
from bson import ObjectId

from common.tests.client import column, direct, made, schema_body
from schemas import evolution


def columns(*names):
    return [column(name) for name in names]


def change(api, schema, wanted):
    return api.patch(f"schemas/{schema['id']}", {"columns": wanted})


@pytest.fixture
def used(api):
    """A schema with `id`, `name` and `email`, which a mapping uses."""
    mapping = made(api, "mappings", name="orders")
    return api.get(f"schemas/{mapping['target_schema_id']}").json()


TYPES = ["string", "integer", "float", "boolean", "date", "timestamp"]


def test_a_column_has_one_of_six_types(api):
    wanted = [column(data_type, data_type) for data_type in TYPES]
    assert made(api, "schemas", columns=wanted)["columns"] == wanted


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["id", "ID"], [1]),
        (["a", "b", "A", "B", "a"], [2, 3, 4]),
        (["straße", "STRASSE"], [1]),
        (["ä", "Ä"], [1]),
        ([" id ", "id"], [1]),
    ],
)
def test_column_names_are_unique_ignoring_case(api, names, wrong):
    answer = api.post("schemas", schema_body(columns=columns(*names)))
    assert answer.status == 400
    assert answer.errors == {
        f"columns.{index}.name": (
            "duplicate",
            f'"{names[index].strip()}" is named twice; column names differ in more than case.',
        )
        for index in wrong
    }


def test_columns_may_be_added_and_moved_while_in_use(api, stored, used):
    for names in (["id", "name", "email", "new"], ["new", "email", "name", "id"]):
        answer = change(api, used, columns(*names))
        assert answer.status == 200, answer.body
        assert [column["name"] for column in answer.json()["columns"]] == names
    kept = stored.schemas.find_one({"_id": ObjectId(used["id"])})
    assert kept["columns"] == columns("new", "email", "name", "id")


def test_a_change_of_something_else_keeps_the_columns(api, used):
    answer = api.put(f"schemas/{used['id']}", {"description": "new"})
    assert answer.json()["columns"] == used["columns"]


@pytest.mark.parametrize("in_use", [True, False])
def test_a_type_never_changes_and_the_refusal_lists_every_offender(api, used, in_use):
    schema = used if in_use else made(api, "schemas", columns=used["columns"])
    wanted = [column("email", "date"), column("id"), column("NAME", "integer"), column("new")]
    answer = change(api, schema, wanted)
    assert (answer.status, answer.code) == (409, "incompatible_schema")
    assert answer.detail == (
        f'A column of the schema "{schema["name"]}" never changes its type: '
        '"email" from string to date; "NAME" from string to integer.'
    )
    assert answer.errors == {
        "columns.0.data_type": (
            "incompatible_schema",
            '"email" is string and cannot become date.',
        ),
        "columns.2.data_type": (
            "incompatible_schema",
            '"NAME" is string and cannot become integer.',
        ),
    }
    assert api.get(f"schemas/{schema['id']}").json() == schema


@pytest.mark.parametrize(
    "wanted", [columns("id", "name"), columns("id", "name", "Email"), columns("other")]
)
def test_a_column_is_not_dropped_while_a_mapping_uses_the_schema(api, used, wanted):
    answer = change(api, used, wanted)
    assert (answer.status, answer.code) == (409, "in_use")
    assert answer.detail == (f'The schema "{used["name"]}" is in use by the mapping "orders".')
    assert api.get(f"schemas/{used['id']}").json() == used


def test_a_column_of_an_unused_schema_may_be_dropped(api):
    schema = made(api, "schemas")
    answer = change(api, schema, columns("email"))
    assert (answer.status, answer.json()["columns"]) == (200, columns("email"))


def test_a_schema_that_mappings_use_stays(api, used):
    answer = api.delete(f"schemas/{used['id']}")
    assert (answer.status, answer.code) == (409, "in_use")
    assert answer.detail == f'The schema "{used["name"]}" is in use by the mapping "orders".'
    (mapping,) = api.get("mappings").json()
    assert api.delete(f"mappings/{mapping['id']}").status == 204
    assert api.delete(f"schemas/{used['id']}").status == 204


def test_many_columns_are_kept_in_order(api):
    names = [f"column {number}" for number in range(1000)]
    record = made(api, "schemas", columns=columns(*names))
    assert [column["name"] for column in record["columns"]] == names


@pytest.mark.parametrize(
    ("before", "after", "gone"),
    [
        (["a", "b"], ["b", "a"], []),
        (["a", "b"], ["a"], ["b"]),
        (["a"], ["A"], ["a"]),
        ([], ["a"], []),
    ],
)
def test_dropped_columns_are_those_whose_exact_name_is_gone(before, after, gone):
    assert evolution.dropped(columns(*before), columns(*after)) == gone


def test_a_rule_does_not_hold_a_column_of_another_schema(api, used):
    (mapping,) = api.get("mappings").json()
    api.create(f"mappings/{mapping['id']}/column-mappings", direct())
    other = made(api, "schemas")
    assert change(api, other, columns("name")).status == 200
