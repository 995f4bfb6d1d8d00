import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from common.tests.client import direct, made, mapping_body
from mappings.tests.conftest import connection_to


def run(*arguments):
    out = StringIO()
    call_command("verify_mappings", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def mappings(api, server):
    server.run("DROP TABLE IF EXISTS checked")
    server.run("CREATE TABLE checked (id int, name varchar(9))")
    connection = connection_to(api, server.reader)
    for name in ("first", "second"):
        body = mapping_body(
            api, name=name, source_connection_id=connection, source_query="SELECT * FROM checked"
        )
        record = api.create("mappings", body)
        api.create(f"mappings/{record['id']}/column-mappings", direct("name", "name"))
    return server


def test_every_mapping_is_asked_for(api, mappings):
    assert run().endswith("2 of 2 mappings are verified.\n")
    down = made(api, "connections", host="127.0.0.1", port=9)["id"]
    made(api, "mappings", name="down", source_connection_id=down)
    told = {one["name"]: one["status"] for one in json.loads(run("--json"))}
    assert told == {"down": "unverified", "first": "verified", "second": "verified"}


def test_a_broken_one_is_named_and_ends_it_with_1(api, mappings):
    mappings.run("ALTER TABLE checked DROP COLUMN name")
    with pytest.raises(CommandError, match='"first": The query does not return') as raised:
        run()
    assert raised.value.returncode == 1
    assert {one["verification"]["status"] for one in api.get("mappings").json()} == {"broken"}


def test_a_name_that_is_none_is_told(api, mappings):
    with pytest.raises(CommandError, match="nowhere"):
        run("nowhere")
