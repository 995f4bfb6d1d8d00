import pytest
from bson import ObjectId

from common.tests.client import direct, document, join, made, split


@pytest.fixture
def rules(api):
    """The path of the rules of a mapping onto `id`, `name` and `email`."""
    return f"mappings/{made(api, 'mappings')['id']}/column-mappings"


def sent(record):
    return {name: record[name] for name in ("type", "source_columns", "target_fields")}


def targets(api, rules):
    return [rule["target_fields"] for rule in api.get(rules).json()]


NO_CONFIG = {"delimiter": None, "separator": None}


@pytest.mark.parametrize(
    ("body", "config"),
    [
        (direct(), NO_CONFIG),
        (direct() | {"config": None}, NO_CONFIG),
        (direct() | {"config": {}}, NO_CONFIG),
        (direct() | {"config": NO_CONFIG}, NO_CONFIG),
        (split("id", "name", delimiter=","), NO_CONFIG | {"delimiter": ","}),
        (split("id", "name", delimiter=" "), NO_CONFIG | {"delimiter": " "}),
        (split("id", "name", delimiter="\t"), NO_CONFIG | {"delimiter": "\t"}),
        (split("id", "name", "email", delimiter=" - "), NO_CONFIG | {"delimiter": " - "}),
        (join("a", "b", separator=""), NO_CONFIG | {"separator": ""}),
        (join("a", "b", separator=" "), NO_CONFIG | {"separator": " "}),
        (join("a", "b", "a", separator=", "), NO_CONFIG | {"separator": ", "}),
    ],
)
def test_a_rule_is_direct_a_split_or_a_join(api, stored, rules, body, config):
    answer = api.post(rules, body)
    assert answer.status == 201, answer.body
    record = answer.json()
    path = f"{rules}/{record['id']}"
    assert sent(record) == sent(body)
    assert record["config"] == config
    assert record["mapping_id"] == rules.split("/")[1]
    assert answer.headers["location"].endswith(path)
    assert api.get(path).json() == record
    assert api.get(path).etag == answer.etag
    assert stored.column_mappings.find_one({}, {"_id": 0, "created_at": 0, "updated_at": 0}) == {
        "mapping_id": ObjectId(record["mapping_id"]),
        "config": config,
        **sent(body),
    }


TWO_SOURCES = direct() | {"source_columns": ["a", "b"]}


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (TWO_SOURCES, {"source_columns": "A direct rule reads exactly one source column."}),
        (
            direct() | {"target_fields": ["id", "name"]},
            {"target_fields": "A direct rule writes exactly one target field."},
        ),
        (
            direct() | {"config": {"delimiter": ","}},
            {"config.delimiter": "A direct rule has no delimiter."},
        ),
        (
            direct() | {"config": {"separator": ""}},
            {"config.separator": "A direct rule has no separator."},
        ),
        (split("id"), {"target_fields": "A split rule writes two or more target fields."}),
        (
            split("id", "name") | {"source_columns": ["a", "b"]},
            {"source_columns": "A split rule reads exactly one source column."},
        ),
        (
            split("id", "name", delimiter=""),
            {"config.delimiter": "The delimiter has at least one character."},
        ),
        (
            split("id", "name") | {"config": {}},
            {"config.delimiter": "A split rule needs a delimiter."},
        ),
        (
            split("id", "name") | {"config": {"separator": " "}},
            {
                "config.delimiter": "A split rule needs a delimiter.",
                "config.separator": "A split rule has no separator.",
            },
        ),
        (
            split("id", "id"),
            {"target_fields.1": '"id" is written twice.'},
        ),
        (join("a"), {"source_columns": "A join rule reads two or more source columns."}),
        (
            join("a", "b") | {"target_fields": ["id", "name"]},
            {"target_fields": "A join rule writes exactly one target field."},
        ),
        (
            join("a", "b") | {"config": {}},
            {"config.separator": "A join rule needs a separator."},
        ),
        (
            join("a", "b") | {"config": {"separator": "", "delimiter": ","}},
            {"config.delimiter": "A join rule has no delimiter."},
        ),
        (direct("x", "ID"), {"target_fields.0": 'The target schema has no column "ID".'}),
        (
            split("id", "no", "none"),
            {
                "target_fields.1": 'The target schema has no column "no".',
                "target_fields.2": 'The target schema has no column "none".',
            },
        ),
        (direct() | {"type": "copy"}, {"type": "Expected one of direct, split, join."}),
        (direct() | {"source_columns": []}, {"source_columns": "This list may not be empty."}),
        (
            direct() | {"source_columns": "id"},
            {"source_columns": 'Expected a list of items but got type "str".'},
        ),
        (direct() | {"source_columns": [1]}, {"source_columns.0": "Not a valid string."}),
        (direct(" "), {"source_columns.0": "This field may not be blank."}),
        (direct("a", None), {"target_fields.0": "This field may not be null."}),
        (direct() | {"config": "x"}, {"config": "Expected a JSON object."}),
        (direct() | {"config": {"x": 1}}, {"config.x": "There is no such field."}),
        (split("id", "name", delimiter=5), {"config.delimiter": "Not a valid string."}),
        (direct() | {"x": 1}, {"x": "There is no such field."}),
        (
            {},
            dict.fromkeys(("type", "source_columns", "target_fields"), "This field is required."),
        ),
    ],
)
def test_a_rule_that_does_not_fit_is_a_400_on_what_is_wrong(api, stored, rules, body, errors):
    one = api.post(rules, body)
    assert (one.status, one.messages) == (400, errors)
    second = {f"1.{field}": message for field, message in errors.items()}
    good = direct("x", "email")
    for several in (api.post(rules, [good, body]), api.put(rules, [good, body])):
        assert (several.status, several.messages) == (400, second)
    assert stored.column_mappings.count_documents({}) == 0


def test_several_are_added_in_their_order_all_or_none(api, rules):
    answer = api.post(rules, [direct("a", "name"), direct("b", "id")])
    assert answer.status == 201
    assert [rule["target_fields"] for rule in answer.json()] == [["name"], ["id"]]
    refused = api.post(rules, [direct("c", "email"), direct("d", "id")])
    assert refused.status == 400
    assert list(refused.errors) == ["1.target_fields.0"]
    api.create(rules, direct("e", "email"))
    assert targets(api, rules) == [["name"], ["id"], ["email"]]
    assert api.get(rules).headers["x-total-count"] == "3"


def test_a_change_keeps_the_order(api, rules):
    first, _ = api.create(rules, [direct("a", "name"), direct("b", "id")])
    assert api.patch(f"{rules}/{first['id']}", {"source_columns": ["z"]}).status == 200
    assert targets(api, rules) == [["name"], ["id"]]


def test_the_order_holds_for_a_hundred(api, stored):
    names = [f"c{number}" for number in range(100)]
    columns = [{"name": name, "data_type": "string"} for name in names]
    schema = document(stored, "schemas", columns=columns)
    mapping = document(stored, "mappings", target_schema_id=schema["_id"])
    path = f"mappings/{mapping['_id']}/column-mappings"
    api.create(path, [direct("x", name) for name in names])
    assert targets(api, path) == [[name] for name in names]


@pytest.mark.parametrize("body", [[], None, 5, "text", [None], [[]], [direct(), 5]])
def test_what_are_no_rules_is_a_400(api, rules, body):
    answer = api.request("POST", rules, raw=b"null") if body is None else api.post(rules, body)
    assert (answer.status, answer.code) == (400, "invalid")
    assert api.get(rules).json() == []


@pytest.mark.parametrize("body", [{}, direct(), 5, "text"])
def test_a_set_is_replaced_by_an_array_only(api, rules, body):
    answer = api.put(rules, body)
    assert (answer.status, answer.detail) == (400, "Expected a JSON array of column mappings.")


def test_put_replaces_the_whole_set(api, rules):
    api.create(rules, [direct("a", "id"), direct("b", "name")])
    answer = api.put(rules, [direct("c", "name"), split("email", "id")])
    assert answer.status == 200
    assert answer.json() == api.get(rules).json()
    assert targets(api, rules) == [["name"], ["email", "id"]]
    refused = api.put(rules, [direct("d", "id"), direct("e", "id")])
    assert refused.messages == {
        "1.target_fields.0": '"id" is already written by the rule at position 0.'
    }
    assert targets(api, rules) == [["name"], ["email", "id"]]


def test_a_set_read_can_be_sent_back_whole(api, rules):
    api.create(rules, [direct("a", "id"), join("b", "c")])
    before = api.get(rules).json()
    answer = api.put(rules, before)
    assert answer.status == 200, answer.body
    assert [sent(rule) for rule in answer.json()] == [sent(rule) for rule in before]


@pytest.mark.parametrize("empty", [lambda api, path: api.put(path, []), lambda a, p: a.delete(p)])
def test_a_set_is_emptied_by_put_or_delete(api, stored, rules, empty):
    other = document(stored, "column_mappings")
    api.create(rules, [direct("a", "id"), direct("b", "name")])
    assert empty(api, rules).status in (200, 204)
    assert api.get(rules).json() == []
    assert [rule["_id"] for rule in stored.column_mappings.find()] == [other["_id"]]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_one_is_changed_and_deleted(api, rules, method):
    record = api.create(rules, direct("a", "id"))
    path = f"{rules}/{record['id']}"
    answer = api.request(method, path, record | split("id", "name", delimiter="|"))
    assert answer.status == 200, answer.body
    assert answer.json() == record | {
        "type": "split",
        "source_columns": ["full"],
        "target_fields": ["id", "name"],
        "config": {"delimiter": "|", "separator": None},
        "updated_at": answer.json()["updated_at"],
    }
    renamed = api.request(method, path, {"source_columns": ["whole"]}).json()
    assert (renamed["source_columns"], renamed["config"]["delimiter"]) == (["whole"], "|")
    assert api.delete(path).status == 204
    assert api.get(path).status == 404


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        ({"type": "split"}, {"target_fields", "config.delimiter"}),
        ({"target_fields": ["name"]}, {"target_fields.0"}),
        ({"target_fields": ["none"]}, {"target_fields.0"}),
        ({"config": {"delimiter": ","}}, {"config.delimiter"}),
        ({"source_columns": []}, {"source_columns"}),
    ],
)
def test_a_change_is_held_to_the_rules_too(api, rules, change, errors):
    record, _ = api.create(rules, [direct("a", "id"), direct("b", "name")])
    answer = api.patch(f"{rules}/{record['id']}", change)
    assert (answer.status, set(answer.errors)) == (400, errors)
    assert api.get(f"{rules}/{record['id']}").json() == record


def test_a_field_is_free_again_once_its_rule_is_gone(api, rules):
    record = api.create(rules, direct("a", "id"))
    refused = api.post(rules, direct("b", "id"))
    assert refused.messages == {
        "target_fields.0": f'"id" is already written by the direct rule {record["id"]}.'
    }
    api.delete(f"{rules}/{record['id']}")
    assert api.post(rules, direct("b", "id")).status == 201


def test_two_mappings_onto_one_schema_write_the_same_field(api, rules):
    mapping = api.get(rules.rpartition("/")[0]).json()
    other = made(api, "mappings", target_schema_id=mapping["target_schema_id"])
    api.create(rules, direct())
    assert api.post(f"mappings/{other['id']}/column-mappings", direct()).status == 201


def test_the_rule_of_another_mapping_is_not_there(api, rules):
    other = f"mappings/{made(api, 'mappings')['id']}/column-mappings"
    record = api.create(rules, direct())
    path = f"{other}/{record['id']}"
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        body = None if method in ("GET", "DELETE") else {}
        assert api.request(method, path, body).status == 404
    assert api.get(other).json() == []
    assert api.get(f"{rules}/{record['id']}").json() == record


def test_the_mapping_in_a_body_is_read_only(api, rules):
    other = made(api, "mappings")
    record = api.create(rules, direct() | {"mapping_id": other["id"]})
    assert record["mapping_id"] == rules.split("/")[1]


@pytest.mark.parametrize("mapping", ["0123456789abcdef01234567", "nonsense"])
def test_the_rules_of_no_mapping_are_a_404(api, mapping):
    path = f"mappings/{mapping}/column-mappings"
    for answer in (
        api.get(path),
        api.post(path, direct()),
        api.post(path, [direct()]),
        api.put(path, []),
        api.delete(path),
        api.get(f"{path}/0123456789abcdef01234567"),
    ):
        assert (answer.status, answer.code) == (404, "not_found")


def test_the_rules_page_and_filter_like_every_list(api, rules):
    api.create(rules, [direct("a", "id"), join("b", "c"), direct("d", "email")])
    page = api.get(f"{rules}?limit=1&offset=1").json()
    assert [rule["type"] for rule in page] == ["join"]
    assert [rule["type"] for rule in api.get(f"{rules}?type=direct").json()] == ["direct"] * 2
    assert api.get(f"{rules}?type=copy").status == 400


def test_rules_of_a_mapping_whose_schema_is_gone_write_nothing(api, stored):
    mapping = document(stored, "mappings", target_schema_id=ObjectId())
    answer = api.post(f"mappings/{mapping['_id']}/column-mappings", direct())
    assert answer.messages == {"target_fields.0": 'The target schema has no column "id".'}
