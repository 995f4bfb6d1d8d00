"""How often each request asks the store: every command is time that a client waits for."""

import pytest

from common.tests.client import connection_body, direct, mapping_body, schedule_body
from common.tests.operator import commands_sent


@pytest.fixture
def connection(api):
    return api.create("connections", connection_body())


@pytest.fixture
def mapping(api):
    return api.create("mappings", mapping_body(api))


NOTED = ["insert", "commitTransaction"]
"""The entry of the audit: each write is one transaction with its own."""


def sent(request, *args, **headers):
    """Return the commands that a request costs once everything has been used before."""
    with commands_sent() as commands:
        assert request(*args, **headers).status < 400
    return commands


@pytest.mark.parametrize(
    ("query", "commands"),
    [("", ["count", "find"]), ("?limit=2", ["find"]), ("?limit=1", ["find", "count"])],
)
def test_a_list(api, connection, query, commands):
    api.create("connections", connection_body(name="another"))
    api.get(f"connections{query}")
    assert sent(api.get, f"connections{query}") == commands


def test_a_read(api, connection):
    path = f"connections/{connection['id']}"
    etag = api.get(path).etag
    assert sent(api.get, path) == sent(api.get, path, If_None_Match=etag) == ["find"]


def test_a_create(api, connection):
    body = connection_body(name="another")
    assert sent(api.post, "connections", body) == ["insert", *NOTED]


def test_a_create_with_references(api, mapping):
    body = {name: mapping[name] for name in ("source_connection_id", "target_schema_id")}
    body |= {"name": "another", "source_query": "SELECT 1"}
    checked, held, there = ["find"] * 5, ["update", "update"], ["find", "find"]
    assert sent(api.post, "mappings", body) == [*checked, *held, *there, "insert", *NOTED]


def test_an_update(api, connection):
    path = f"connections/{connection['id']}"
    assert sent(api.patch, path, {"database": "b"}) == ["find", "update", *NOTED]


def test_an_update_that_changes_nothing(api, connection):
    path = f"connections/{connection['id']}"
    assert sent(api.put, path, api.get(path).json()) == ["find"]


def test_a_delete(api, connection):
    held, users = "update", ["find"] * 3  # mappings, targets, runs
    assert sent(api.delete, f"connections/{connection['id']}") == [
        "find", held, *users, "delete", *NOTED,
    ]  # fmt: skip


def test_a_delete_of_what_nothing_refers_to(api):
    schedule = api.create("schedules", schedule_body(api))
    queued_runs = ["update", "find"]
    path = f"schedules/{schedule['id']}"
    assert sent(api.delete, path) == ["find", "delete", *queued_runs, *NOTED]


def test_rules_replaced(api, mapping):
    path = f"mappings/{mapping['id']}/column-mappings"
    api.put(path, [])
    asked, checked, proven = ["find"] * 3, ["find"] * 3, ["find"] * 4
    commands = sent(api.put, path, [direct()])
    assert commands == [*asked, "update", *checked, "insert", *proven, "update", *NOTED]
