"""seed_demo: the demo's records, made once, mended when changed, and many more for load tests."""

import io

import pytest
from django.core.management import CommandError, call_command

from common.tests.client import mapping_body
from connections.models import Connection

URL = "postgresql://shop_reader:p%40ss@127.0.0.1:54320/shop"
COLLECTIONS = ("connections", "schemas", "mappings", "column_mappings", "schedules")


@pytest.fixture(autouse=True)
def no_source(monkeypatch):
    monkeypatch.delenv("DEMO_SOURCE_URL", raising=False)


def seed(*options: str) -> str:
    out = io.StringIO()
    call_command("seed_demo", *options, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def contents(stored):
    return {name: list(stored[name].find()) for name in COLLECTIONS}


def test_it_makes_a_connection_a_schema_a_mapping_with_all_kinds_of_rules_and_a_schedule(stored):
    assert seed("--source-url", URL) == "Demo: 4 created, 0 changed, 0 as they were.\n"

    shop = Connection.from_document(stored.connections.find_one({"name": "Demo shop"})).params()
    assert (shop.host, shop.port, shop.database) == ("127.0.0.1", 54320, "shop")
    assert (shop.username, shop.password) == ("shop_reader", "p@ss")
    assert {rule["type"] for rule in stored.column_mappings.find()} == {"direct", "split", "join"}
    assert stored.schedules.find_one()["next_run_at"] is not None


def test_the_address_may_come_from_the_environment(stored, monkeypatch):
    monkeypatch.setenv("DEMO_SOURCE_URL", URL)

    seed()

    assert stored.connections.find_one()["port"] == 54320


def test_a_second_time_it_changes_nothing(stored):
    seed("--source-url", URL)
    before = contents(stored)

    assert seed("--source-url", URL) == "Demo: 0 created, 0 changed, 4 as they were.\n"
    assert seed() == "Demo: 0 created, 0 changed, 4 as they were.\n"
    assert contents(stored) == before


def test_another_address_is_taken_over(stored):
    seed("--source-url", URL)

    assert seed("--source-url", URL.replace("54320", "54321")).startswith("Demo: 0 created, 1 ch")
    assert stored.connections.find_one()["port"] == 54321


def test_reset_deletes_what_it_made_and_nothing_else(api, stored):
    seed("--scale", "3")
    other = api.create("mappings", mapping_body(api))
    stored.schedules.update_one({"name": "Demo nightly import"}, {"$set": {"timezone": "UTC"}})

    assert seed("--reset").startswith(
        "Deleted: 25 records.\nDemo: 4 created, 0 changed, 0 as they were.\n"
    )
    assert {len(found) for found in contents(stored).values()} == {1, 2, 6}
    assert stored.mappings.find_one({"name": other["name"]})


def test_reset_refuses_what_others_use(api, stored):
    seed()
    shop = stored.connections.find_one({"name": "Demo shop"})
    api.create("mappings", mapping_body(api, name="mine", source_connection_id=str(shop["_id"])))

    with pytest.raises(
        CommandError, match='The connection "Demo shop" is in use by the mapping "mine"'
    ):
        seed("--reset")


def test_scale_makes_records_as_the_api_does(api, stored):
    assert seed("--scale", "5").endswith("Load test: 5 of each kind, 35 records new.\n")

    for path in ("connections", "schemas", "mappings", "schedules"):
        assert len([name for name in api.names(path) if name.startswith("Load test")]) == 5
    mapping = stored.mappings.find_one({"name": "Load test 000001"})
    assert api.patch(f"mappings/{mapping['_id']}", {"description": "changed"}).status == 200
    assert len(api.get(f"mappings/{mapping['_id']}/column-mappings").json()) == 3
    call_command("check_references", stdout=io.StringIO())


def test_scale_completes_what_is_there(stored):
    seed("--scale", "3")
    stored.column_mappings.delete_many({"type": "split"})

    assert seed("--scale", "4").endswith("Load test: 4 of each kind, 10 records new.\n")
    assert seed("--scale", "2").endswith("Load test: 2 of each kind, 0 records new.\n")


@pytest.mark.parametrize("url", ["mysql://a@b/c", "postgresql://host/db", "nonsense", "//a@b:x/c"])
def test_an_address_that_is_none_is_refused(stored, url):
    with pytest.raises(
        CommandError, match="expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    ):
        seed("--source-url", url)
