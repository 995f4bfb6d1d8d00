"""From which columns of a source the fields of a target come, and the other way."""

import pytest

from common.tests.client import direct, join, mapping_body
from mappings.tests.conftest import connection_to, onto


@pytest.fixture
def schema(server):
    server.run("DROP TABLE IF EXISTS items")
    server.run("DROP TABLE IF EXISTS orders")
    server.run("CREATE TABLE orders (id int, customer varchar(20), note varchar(20))")
    server.run("CREATE TABLE items (order_id int, price int)")
    return "public" if server.kind == "postgresql" else server.params.database


@pytest.fixture
def body(api, server, schema):
    return mapping_body(
        api,
        name="totals",
        source_connection_id=connection_to(api, server.reader),
        source_query="SELECT o.*, sum(i.price) AS total, 1 AS one FROM orders o"
        " JOIN items i ON i.order_id = o.id GROUP BY o.id, o.customer, o.note",
        target_schema_id=onto(api, key="integer", total="float", who="string", free="string"),
    )


@pytest.fixture
def mapping(api, body):
    record = api.create("mappings", body)
    rules = [direct("id", "key"), direct("total", "total"), join("customer", "note", target="who")]
    record["rules"] = api.create(f"mappings/{record['id']}/column-mappings", rules)
    return record


def source(schema, table, column):
    return {"schema": schema, "table": table, "column": column}


def column(name, transformation, *sources):
    return {"name": name, "sources": [*sources], "transformation": transformation}


def test_the_lineage_of_a_mapping_goes_through_query_and_rules(api, mapping, schema):
    found = api.get(f"mappings/{mapping['id']}/lineage")
    assert found.status == 200, found.body
    first, second, third = (rule["id"] for rule in mapping["rules"])
    who = [
        column(name, "identity", source(schema, "orders", name)) for name in ("customer", "note")
    ]
    assert found.json() == {
        "fields": [
            {
                "name": "key",
                "rule_id": first,
                "columns": [column("id", "identity", source(schema, "orders", "id"))],
            },
            {
                "name": "total",
                "rule_id": second,
                "columns": [column("total", "aggregate", source(schema, "items", "price"))],
            },
            {"name": "who", "rule_id": third, "columns": who},
            {"name": "free", "rule_id": None, "columns": []},
        ],
        "message": None,
    }


def test_columns_that_only_choose_rows_are_told_when_asked_for(api, mapping, schema):
    found = api.get(f"mappings/{mapping['id']}/lineage?indirect=true").json()["fields"]
    (total,) = found[1]["columns"]
    assert source(schema, "items", "price") in total["sources"]
    assert source(schema, "items", "order_id") in total["sources"]
    for wrong in ("indirect=maybe", "format=xml", "inderect=true"):
        assert api.get(f"mappings/{mapping['id']}/lineage?{wrong}").status == 400


def test_openlineage_has_the_columns(api, mapping, schema, server):
    told = api.get(f"mappings/{mapping['id']}/lineage?format=openlineage").json()
    assert told["job"]["name"] == "totals"
    (output,) = told["outputs"]
    (only,) = output["facets"]["columnLineage"]["fields"]["total"]["inputFields"]
    database = f"{server.params.database}." if server.kind == "postgresql" else ""
    assert (only["name"], only["field"]) == (f"{database}{schema}.items", "price")
    assert only["namespace"].endswith(f"://127.0.0.1:{server.params.port}")
    assert len(told["inputs"]) == 2


def test_both_ways_lead_through_all_mappings(api, mapping, body, schema):
    found = api.get(f"schemas/{body['target_schema_id']}/lineage?column=total").json()
    assert found == [
        {
            "mapping_id": mapping["id"],
            "mapping_name": "totals",
            "field": "total",
            "sources": [source(schema, "items", "price")],
        }
    ]
    assert len(api.get(f"schemas/{body['target_schema_id']}/lineage").json()) == 3
    path = f"connections/{body['source_connection_id']}/lineage"
    expected = [
        {
            "mapping_id": mapping["id"],
            "mapping_name": "totals",
            "schema_id": body["target_schema_id"],
            "field": "total",
            "transformation": "aggregate",
        }
    ]
    assert api.get(f"{path}?table=items&column=price").json() == expected
    assert api.get(f"{path}?table={schema}.items").json() == expected
    assert api.get(f"{path}?table=nowhere").json() == []
    assert api.get(f"{path}?tabel=items").status == 400
    assert api.get(f"connections/{'0' * 24}/lineage").status == 404


def test_it_follows_the_query_and_goes_with_the_mapping(api, stored, mapping, schema):
    path = f"mappings/{mapping['id']}"
    api.get(f"{path}/lineage")
    etag = api.get(path).etag
    api.get(f"{path}/lineage")
    assert api.get(path).etag == etag
    api.patch(
        path, {"source_query": "SELECT 7 AS id, note AS customer, id AS total, note FROM orders"}
    )
    fields = api.get(f"{path}/lineage").json()["fields"]
    assert fields[0]["columns"] == [column("id", "constant")]
    assert fields[1]["columns"] == [column("total", "identity", source(schema, "orders", "id"))]
    api.delete(path)
    assert stored.lineages.count_documents({}) == 0


def test_what_nobody_described_has_no_schema(api, stored, mapping):
    stored.mappings.update_one({}, {"$set": {"source_query": "SELECT id FROM orders"}})
    fields = api.get(f"mappings/{mapping['id']}/lineage").json()["fields"]
    assert fields[0]["columns"] == [column("id", "identity", source(None, "orders", "id"))]
    stored.mappings.update_one({}, {"$set": {"source_query": "SELECT ((("}})
    told = api.get(f"mappings/{mapping['id']}/lineage").json()
    assert told["message"] == "The query could not be read."
    assert told["fields"][0]["columns"] == [column("id", "unknown")]
