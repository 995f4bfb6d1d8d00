"""seed_demo: the demo's records, made once, mended when changed, and many more for load tests."""

import io
from pathlib import Path
from urllib.parse import quote

import pytest
from django.core.management import CommandError, call_command

import devtools
from common import demo
from common.tests.client import mapping_body, mapping_document, schedule_body
from connections.models import Connection
from sources.tests.conftest import postgres

__all__ = ["postgres"]

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


def test_it_makes_a_connection_mappings_with_all_kinds_of_rules_and_schedules(stored):
    assert seed("--source-url", URL) == "Demo: 9 created, 0 changed, 0 as they were.\n"

    shop = Connection.from_document(stored.connections.find_one({"name": "Demo shop"})).params()
    assert (shop.host, shop.port, shop.database) == ("127.0.0.1", 54320, "shop")
    assert (shop.username, shop.password) == ("shop_reader", "p@ss")
    assert {rule["type"] for rule in stored.column_mappings.find()} == {"direct", "split", "join"}
    assert None not in {each["next_run_at"] for each in stored.schedules.find()}
    assert {
        kind: {each["name"]: each["_id"] for each in stored[kind].find()} for kind in demo.IDS
    } == demo.IDS


def test_the_address_may_come_from_the_environment(stored, monkeypatch):
    monkeypatch.setenv("DEMO_SOURCE_URL", URL)

    seed()

    assert stored.connections.find_one()["port"] == 54320


def test_a_second_time_it_changes_nothing(stored):
    seed("--source-url", URL)
    before = contents(stored)

    assert seed("--source-url", URL) == "Demo: 0 created, 0 changed, 9 as they were.\n"
    assert seed() == "Demo: 0 created, 0 changed, 9 as they were.\n"
    assert contents(stored) == before


def test_another_address_is_taken_over(stored):
    seed("--source-url", URL)

    assert seed("--source-url", URL.replace("54320", "54321")).startswith("Demo: 0 created, 1 ch")
    assert stored.connections.find_one()["port"] == 54321


def test_another_place_needs_its_password_in_the_address(stored):
    said = (
        'The connection "Demo shop" needs the password of this place: give it in the address, '
        "postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
    )
    with pytest.raises(CommandError) as new:
        seed("--source-url", URL.replace(":p%40ss", ""))
    seed("--source-url", URL)
    before = contents(stored)
    with pytest.raises(CommandError) as moved:
        seed("--source-url", "postgresql://shop_reader@127.0.0.1:54321/shop")

    assert [str(new.value), str(moved.value)] == [said, said]
    assert contents(stored) == before


def test_a_demo_record_that_cannot_be_mended_is_told(stored):
    seed()
    stored.schemas.update_one({}, {"$set": {"columns.0.data_type": "string"}})

    with pytest.raises(CommandError) as failure:
        seed()

    assert str(failure.value) == (
        'The demo\'s records cannot be made as they should be. schema "Demo customers", '
        'columns.0.data_type: "customer_id" is string and cannot become integer.'
    )


def test_reset_deletes_what_it_made_and_nothing_else(api, stored):
    seed("--scale", "3", "--run")
    other = api.create("mappings", mapping_body(api))
    stored.schedules.update_one({"name": "Demo nightly import"}, {"$set": {"timezone": "UTC"}})

    assert seed("--reset").startswith(
        "Deleted: 30 records.\nDemo: 9 created, 0 changed, 0 as they were.\n"
    )
    assert {kind: len(found) for kind, found in contents(stored).items()} == {
        "connections": 2, "schemas": 4, "mappings": 4, "column_mappings": 15, "schedules": 2,
    }  # fmt: skip
    assert stored.mappings.find_one({"name": other["name"]})
    assert stored.runs.distinct("status") == ["cancelled"]


def test_mappings_that_never_ran_get_the_first_runs_of_their_history(stored):
    assert seed("--run").endswith("Demo: 5 runs queued.\n")
    assert seed("--run").endswith("Demo: 0 runs queued.\n")
    assert stored.runs.count_documents({"status": "queued", "trigger": "manual"}) == 5


@pytest.fixture
def shop(postgres):
    """The address of the shop."""
    postgres.run((Path(devtools.__file__).parent / "shop.sql").read_text())
    to = postgres.params
    yield f"postgresql://{to.username}:{quote(to.password)}@{to.host}:{to.port}/{to.database}"
    postgres.run("DROP TABLE order_items, orders, products, customers")


def test_the_mapping_that_is_wrong_on_purpose_says_why_and_stays_mended(api, shop):
    seed("--source-url", shop)

    found = {one["name"]: one["verification"] for one in api.get("mappings").json()}
    wrong = "Demo shop products, wrong on purpose"
    path = f"mappings/{demo.IDS['mappings'][wrong]}"
    assert {problem["code"] for problem in found[wrong]["problems"]} == {
        "unknown_column",
        "impossible_cast",
    }
    assert {name: one["status"] for name, one in found.items()} == {
        "Demo shop customers": "verified",
        "Demo shop orders": "verified",
        wrong: "broken",
    }

    rules = api.get(f"{path}/column-mappings").json()
    rule = next(rule["id"] for rule in rules if rule["source_columns"] == ["weight"])
    query = "SELECT id, name, weight_kg, (price > 100)::int AS expensive FROM products"
    mended = api.patch(f"{path}/column-mappings/{rule}", {"source_columns": ["weight_kg"]})
    assert mended.status == 200, mended.json()
    mended = api.patch(path, {"source_query": query})
    assert mended.status == 200, mended.json()
    seed()
    assert api.get(path).json()["verification"]["status"] == "verified"


def test_reset_deletes_nothing_while_others_use_something(api, stored):
    seed("--scale", "3")
    shop = stored.connections.find_one({"name": "Demo shop"})
    load = stored.mappings.find_one({"name": "Load test 000002"})
    schema = stored.schemas.find_one({"name": "Demo customers"})
    stored.mappings.insert_one(
        mapping_document(
            name="mine\x1b[2J",
            source_connection_id=str(shop["_id"]).upper(),
            target_schema_id=schema["_id"],
        )
    )
    api.create("schedules", schedule_body(api, name="nightly", mapping_id=str(load["_id"])))
    before = contents(stored)

    with pytest.raises(CommandError) as failure:
        seed("--reset")

    assert str(failure.value) == (
        "Nothing was deleted, as records of others use what would go:\n"
        '  The mapping "Load test 000002" is in use by the schedule "nightly".\n'
        '  The connection "Demo shop" is in use by the mapping "mine\\u001b[2J".\n'
        '  The schema "Demo customers" is in use by the mapping "mine\\u001b[2J".'
    )
    assert contents(stored) == before


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
