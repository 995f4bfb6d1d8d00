import pytest
from bson import ObjectId

from common.tests.client import PASSWORD, connection_body, document, made


@pytest.mark.parametrize(("db_type", "port"), [("mysql", 3306), ("postgresql", 5432)])
def test_the_port_defaults_by_the_kind_of_database(api, stored, db_type, port):
    body = connection_body(db_type=db_type)
    del body["port"]
    record = api.create("connections", body)
    assert record["port"] == port
    assert stored.connections.find_one({"_id": ObjectId(record["id"])})["port"] == port


@pytest.mark.parametrize("port", [1, 65535])
def test_a_port_is_any_of_1_to_65535(api, port):
    assert made(api, "connections", port=port)["port"] == port


def test_a_new_kind_of_database_keeps_the_port(api):
    record = made(api, "connections", db_type="mysql", port=3306)
    changed = api.patch(
        f"connections/{record['id']}", {"db_type": "postgresql", "password": PASSWORD}
    ).json()
    assert (changed["db_type"], changed["port"]) == ("postgresql", 3306)


@pytest.mark.parametrize(
    "host",
    ["localhost", "10.0.0.1", "::1", "[::1]", "fe80::1%eth0", "::ffff:10.0.0.1", "a_b.example",
     "ünï.example"],
)  # fmt: skip
def test_a_host_is_a_name_or_an_address(api, host):
    assert made(api, "connections", host=host)["host"] == host


@pytest.mark.parametrize(
    ("given", "host"), [("db:5432", "db"), ("10.0.0.1:3306", "10.0.0.1"), ("[::1]:5432", "[::1]")]
)
def test_a_port_has_a_field_of_its_own(api, given, host):
    port = given.rpartition(":")[2]
    refused = api.post("connections", connection_body(host=given))
    assert refused.status == 400
    assert refused.errors["host"] == (
        "invalid_host",
        f'Not a host: it holds a port. Give host "{host}" and port {port}.',
    )


def test_one_that_was_never_tested_says_so(api):
    record = made(api, "connections")
    assert record["last_tested_at"] is record["last_test_status"] is None


def test_one_that_mappings_use_stays_and_the_refusal_names_them(api):
    connection = made(api, "connections", name="crm")
    path = f"connections/{connection['id']}"
    for name in ("orders", "customers"):
        made(api, "mappings", name=name, source_connection_id=connection["id"])
    answer = api.delete(path)
    assert (answer.status, answer.code) == (409, "in_use")
    assert answer.detail == (
        'The connection "crm" is in use by the mappings "customers", "orders".'
    )
    assert api.get(path).status == 200
    for mapping in api.get("mappings").json():
        api.delete(f"mappings/{mapping['id']}")
    assert api.delete(path).status == 204


def test_a_mapping_of_another_program_counts_as_a_user(api, stored):
    mapping = document(stored, "mappings", name="theirs")
    answer = api.delete(f"connections/{mapping['source_connection_id']}")
    assert answer.code == "in_use"
    assert answer.detail.endswith('is in use by the mapping "theirs".')


def test_many_users_are_counted_and_the_first_ten_named(api, stored):
    connection = made(api, "connections", name="crm")
    for number in range(12):
        document(
            stored,
            "mappings",
            name=f"m{number:02}",
            source_connection_id=ObjectId(connection["id"]),
        )
    answer = api.delete(f"connections/{connection['id']}")
    named = ", ".join(f'"m{number:02}"' for number in range(10))
    assert answer.detail == (f'The connection "crm" is in use by the mappings {named} and 2 more.')
