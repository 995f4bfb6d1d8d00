import json

import pytest

from common.tests.client import KINDS, body, column, connection_body, made, schema_body

MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"{'name': 'x'}",
        b'{"name": "x",}',
        b'{"name": "x"} and more',
        b'{"name": NaN}',
        b'{"port": Infinity}',
        b'{"port": 1e400}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff\xfe"}',
        b'{"name": "a\nb"}',
        b"\xef\xbb\xbf{}",
        b"   ",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "{}".encode("utf-16"),
    ],
    ids=lambda raw: repr(raw[:16]),
)
def test_malformed_json_is_a_400_that_says_where(api, raw):
    kept = made(api, "connections")
    for method, path in (("POST", "connections"), ("PATCH", f"connections/{kept['id']}")):
        answer = api.request(method, path, raw=raw)
        assert (answer.status, answer.code) == (400, "invalid"), answer.body
        assert answer.detail.startswith("The body is not valid JSON: ")
        assert "(line 1, column " in answer.detail
    assert api.get(f"connections/{kept['id']}").json() == kept


@pytest.mark.parametrize("raw", [b"null", b"[]", b"[{}]", b'"text"', b"1", b"1.5", b"true"])
@pytest.mark.parametrize("kind", KINDS)
def test_json_that_is_no_object_is_a_400(api, kind, raw):
    kept = made(api, kind)
    for method, path in (("POST", kind), ("PUT", f"{kind}/{kept['id']}")):
        answer = api.request(method, path, raw=raw)
        assert (answer.status, answer.code) == (400, "invalid"), answer.body
        assert isinstance(answer.detail, str)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_body_lacks_every_required_field(api, kind):
    answer = api.request("POST", kind, raw=b"")
    assert answer.status == 400
    assert answer.codes["name"] == "required"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonp",
        "nonsense",
    ],
)
def test_a_body_that_is_not_json_is_a_415(api, content_type):
    raw = json.dumps(connection_body()).encode()
    answer = api.request("POST", "connections", raw=raw, Content_Type=content_type)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert answer.detail == "Send the body as application/json."


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"],
)
def test_json_is_json_however_its_type_is_written(api, content_type):
    raw = json.dumps(connection_body()).encode()
    assert api.request("POST", "connections", raw=raw, Content_Type=content_type).status == 201


def test_a_body_of_exactly_one_mebibyte_is_read_and_one_byte_more_is_a_413(api):
    raw = json.dumps(connection_body()).encode()
    fits = api.request("POST", "connections", raw=raw.ljust(MEBIBYTE))
    too_large = api.request("POST", "connections", raw=raw.ljust(MEBIBYTE + 1))
    assert fits.status == 201
    assert (too_large.status, too_large.code) == (413, "too_large")
    assert too_large.detail == "The body is larger than 1048576 bytes."


@pytest.mark.parametrize(
    ("kind", "changes", "field", "code"),
    [
        ("connections", {"name": None}, "name", "null"),
        ("connections", {"name": ""}, "name", "blank"),
        ("connections", {"name": " \t "}, "name", "blank"),
        ("connections", {"name": 1}, "name", "invalid"),
        ("connections", {"name": True}, "name", "invalid"),
        ("connections", {"name": ["a"]}, "name", "invalid"),
        ("connections", {"name": {}}, "name", "invalid"),
        ("connections", {"name": "a\0b"}, "name", "null_characters_not_allowed"),
        ("connections", {"db_type": "oracle"}, "db_type", "invalid_choice"),
        ("connections", {"db_type": "MySQL"}, "db_type", "invalid_choice"),
        ("connections", {"db_type": ""}, "db_type", "invalid_choice"),
        ("connections", {"db_type": 1}, "db_type", "invalid_choice"),
        ("connections", {"db_type": ["mysql"]}, "db_type", "invalid_choice"),
        ("connections", {"db_type": None}, "db_type", "null"),
        ("connections", {"host": ""}, "host", "blank"),
        ("connections", {"host": "a b"}, "host", "invalid_host"),
        ("connections", {"host": "http://a"}, "host", "invalid_host"),
        ("connections", {"host": "a\nb"}, "host", "invalid_host"),
        ("connections", {"host": "x" * 256}, "host", "max_length"),
        ("connections", {"port": 0}, "port", "min_value"),
        ("connections", {"port": -1}, "port", "min_value"),
        ("connections", {"port": 65536}, "port", "max_value"),
        ("connections", {"port": 10**30}, "port", "invalid"),
        ("connections", {"port": 2**63}, "port", "max_value"),
        ("connections", {"port": 1.5}, "port", "invalid"),
        ("connections", {"port": True}, "port", "invalid"),
        ("connections", {"port": "x"}, "port", "invalid"),
        ("connections", {"port": []}, "port", "invalid"),
        ("connections", {"port": {}}, "port", "invalid"),
        ("connections", {"database": ""}, "database", "blank"),
        ("connections", {"username": ""}, "username", "blank"),
        ("connections", {"password": ""}, "password", "blank"),
        ("connections", {"password": None}, "password", "null"),
        ("connections", {"password": 1}, "password", "invalid"),
        ("connections", {"password": "a\0b"}, "password", "null_characters_not_allowed"),
        ("schemas", {"description": "x" * 501}, "description", "max_length"),
        ("schemas", {"description": 1}, "description", "invalid"),
        ("schemas", {"columns": None}, "columns", "null"),
        ("schemas", {"columns": []}, "columns", "empty"),
        ("schemas", {"columns": {}}, "columns", "not_a_list"),
        ("schemas", {"columns": "id"}, "columns", "not_a_list"),
        ("schemas", {"columns": ["id"]}, "columns.0", "invalid"),
        ("schemas", {"columns": [column("a"), None]}, "columns.1", "null"),
        ("schemas", {"columns": [{"name": "a"}]}, "columns.0.data_type", "required"),
        ("schemas", {"columns": [{"data_type": "date"}]}, "columns.0.name", "required"),
        ("schemas", {"columns": [column("a"), column(" ")]}, "columns.1.name", "blank"),
        ("schemas", {"columns": [column("x" * 101)]}, "columns.0.name", "max_length"),
        ("schemas", {"columns": [column("a", "text")]}, "columns.0.data_type", "invalid_choice"),
        ("schemas", {"columns": [column("a", None)]}, "columns.0.data_type", "null"),
        ("schemas", {"columns": [column("a") | {"size": 1}]}, "columns.0.size", "unknown_field"),
        ("schemas", {"columns": [column("a"), column("A")]}, "columns.1.name", "duplicate"),
        ("mappings", {"description": "x" * 501}, "description", "max_length"),
        ("mappings", {"source_query": ""}, "source_query", "blank"),
        ("mappings", {"source_query": "DROP TABLE a"}, "source_query", "refused_statement"),
        ("mappings", {"source_query": "SELECT 1; SELECT 2"}, "source_query", "refused_statement"),
        ("schedules", {"timezone": "Mars/Olympus"}, "timezone", "invalid"),
        ("schedules", {"timezone": "europe/berlin"}, "timezone", "invalid"),
        ("schedules", {"timezone": "../etc/passwd"}, "timezone", "invalid"),
        ("schedules", {"timezone": ""}, "timezone", "blank"),
        ("schedules", {"timezone": None}, "timezone", "null"),
        ("schedules", {"timezone": 1}, "timezone", "invalid"),
        ("schedules", {"cron_expression": ""}, "cron_expression", "blank"),
        ("schedules", {"cron_expression": None}, "cron_expression", "null"),
        ("schedules", {"cron_expression": 5}, "cron_expression", "invalid"),
        ("schedules", {"cron_expression": "nonsense"}, "cron_expression", "invalid_cron"),
        ("schedules", {"enabled": "perhaps"}, "enabled", "invalid"),
        ("schedules", {"enabled": None}, "enabled", "null"),
        ("schedules", {"enabled": []}, "enabled", "invalid"),
        ("schedules", {"enabled": 2}, "enabled", "invalid"),
    ],
)
def test_a_wrong_value_is_a_400_on_its_field_in_a_create_and_in_a_change(
    api, kind, changes, field, code
):
    kept = made(api, kind)
    created = api.post(kind, body(api, kind, **changes))
    assert created.status == 400, created.body
    assert created.codes == {field: code}
    if field == "password":  # In a change, none and an empty one keep the stored one.
        return
    changed = api.patch(f"{kind}/{kept['id']}", changes)
    assert (changed.status, changed.codes) == (400, {field: code})
    assert api.get(f"{kind}/{kept['id']}").json() == kept


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("mappings", "source_connection_id"),
        ("mappings", "target_schema_id"),
        ("schedules", "mapping_id"),
    ],
)
@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("nonsense", "invalid"),
        ("", "invalid"),
        (1, "invalid"),
        (["a"], "invalid"),
        (None, "null"),
        ("0123456789abcdef01234567", "unknown_reference"),
    ],
)
def test_an_unknown_or_malformed_reference_is_a_400_on_its_field(api, kind, field, value, code):
    kept = made(api, kind)
    for answer in (
        api.post(kind, body(api, kind) | {field: value}),
        api.patch(f"{kind}/{kept['id']}", {field: value}),
    ):
        assert (answer.status, answer.codes) == (400, {field: code})


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_is_wrong_is_named_at_once(api, kind):
    answer = api.post(kind, {"nmae": "x", "created": 1})
    required = {
        "connections": {"name", "db_type", "host", "database", "username", "password"},
        "schemas": {"name", "columns"},
        "mappings": {"name", "source_connection_id", "source_query", "target_schema_id"},
        "schedules": {"name", "mapping_id", "cron_expression"},
    }[kind]
    assert answer.status == 400
    assert answer.messages == dict.fromkeys(required, "This field is required.") | {
        "nmae": "There is no such field.",
        "created": "There is no such field.",
    }


def test_rules_of_the_record_are_named_beside_those_of_its_fields(api):
    answer = api.post(
        "schemas",
        schema_body(
            name="", columns=[column("a"), {"name": "b", "data_type": "x"}, column("a", "y")], x=1
        ),
    )
    assert answer.codes == {
        "name": "blank",
        "columns.1.data_type": "invalid_choice",
        "columns.2.data_type": "invalid_choice",
        "x": "unknown_field",
    }


def test_the_first_of_two_equal_keys_is_forgotten(api):
    raw = b'{"name": "first", "name": "second"}'
    record = made(api, "connections")
    answer = api.request("PATCH", f"connections/{record['id']}", raw=raw)
    assert answer.json()["name"] == "second"


def test_a_hundred_errors_are_told_and_the_others_counted(api):
    columns = [{"name": f"c{i}", "data_type": "nope"} for i in range(1600)]
    refused = api.post("schemas", {"name": "s", "columns": columns})
    assert len(refused.json()["errors"]) == 100
    assert refused.detail.endswith("; and 1595 more.")


def test_fields_that_are_none_are_told_up_to_a_hundred(api):
    body = {f"x{i}": 1 for i in range(50_000)}
    refused = api.post("schemas", body)
    assert len(refused.json()["errors"]) == 100
    assert len(refused.body) < 20_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("mappings/{mapping}/column-mappings", [{}] * 250_000),
        ("schemas", {"name": "s", "columns": [{}] * 250_000}),
        ("mappings/{mapping}/column-mappings",
         {"type": "direct", "source_columns": [1] * 300_000, "target_fields": ["id"]}),
    ],
)  # fmt: skip
def test_a_list_is_as_long_as_is_of_use(api, path, body):
    mapping = made(api, "mappings")["id"]
    refused = api.post(path.format(mapping=mapping), body)
    assert refused.status == 400
    assert len(refused.json()["errors"]) <= 2
