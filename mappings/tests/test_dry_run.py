"""A dry run shows target rows as a run would write them, and what does not fit."""

import pytest

from common.tests.client import direct, mapping_body, split
from mappings.tests.conftest import connection_to, onto


@pytest.fixture
def body(api, server):
    server.run("DROP TABLE IF EXISTS dried")
    server.run("CREATE TABLE dried (id int, name varchar(20), day varchar(20))")
    server.run("INSERT INTO dried VALUES (1, 'Ada Lovelace', '2026-01-31'), (2, 'Bob', 'nonsense')")
    return mapping_body(
        api,
        source_connection_id=connection_to(api, server.reader),
        source_query="SELECT id, name, day, 1 AS more FROM dried ORDER BY id",
        target_schema_id=onto(
            api, key="integer", first="string", last="string", day="date", x="float"
        ),
    )


RULES = [direct("id", "key"), split("first", "last", source="name"), direct("day", "day")]


def shown(answer):
    assert answer.status == 200, answer.body
    return answer.json()


def test_a_dry_run_of_a_body(api, stored, body):
    before = stored.mappings.count_documents({})
    found = shown(api.post("mappings/dry-run", body | {"column_mappings": RULES}))
    assert found["columns"] == ["key", "first", "last", "day", "x"]
    assert found["rows"] == [[1, "Ada", "Lovelace", "2026-01-31", None]]
    (rejected,) = found["rejected"]
    assert (rejected["row"], rejected["rule_id"], rejected["code"]) == (2, "2", "not_a_date")
    assert found["problems"] == []
    assert [one["rule_id"] for one in found["rules"]] == ["0", "1", "2"]
    assert set(found["rules"][0]) == {"rule_id", "read", "null", "rejected", "dropped"}
    assert (found["unwritten_fields"], found["unread_columns"]) == (["x"], ["more"])
    assert stored.mappings.count_documents({}) == before


def test_a_dry_run_of_a_stored_mapping(api, body):
    path = f"mappings/{api.create('mappings', body)['id']}"
    ids = [rule["id"] for rule in api.create(f"{path}/column-mappings", RULES)]
    found = shown(api.post(f"{path}/dry-run", {"limit": 1}))
    assert len(found["rows"]) == 1
    assert [one["rule_id"] for one in found["rules"]] == ids
    assert len(shown(api.post(f"{path}/dry-run"))["rejected"]) == 1
    assert api.post(f"{path}/dry-run", {"limit": 0}).codes == {"limit": "min_value"}


def test_a_query_without_rows_is_shown_without_rows(api, body):
    none = {"source_query": "SELECT id, name, day FROM dried WHERE id > 9"}
    found = shown(api.post("mappings/dry-run", body | none | {"column_mappings": RULES}))
    assert (found["rows"], found["rejected"], found["problems"]) == ([], [], [])
    assert [(one["rule_id"], one["read"]) for one in found["rules"]] == [
        ("0", 0), ("1", 0), ("2", 0),
    ]  # fmt: skip
    wrong = {"column_mappings": [direct("nope", "key")]}
    assert api.post("mappings/dry-run", body | none | wrong).status == 400


def test_what_a_save_would_refuse_is_a_problem(api, body):
    wrong = [direct("id", "key"), direct("idd", "first"), direct("name", "nowhere"), {"type": "x"}]
    found = shown(api.post("mappings/dry-run", body | {"column_mappings": wrong}))
    assert [row[0] for row in found["rows"]] == [1, 2]
    codes = {(one["rule_id"], one["code"]) for one in found["problems"]}
    assert {("1", "unknown_column"), ("2", "invalid_rule")} <= codes
    assert any(rule_id == "3" for rule_id, _ in codes)


def test_only_where_nothing_can_be_shown_it_is_a_400(api, body):
    assert api.post("mappings/dry-run", body).codes == {"column_mappings": "mapping_incomplete"}
    rules = [direct("idd", "key"), {"type": "x"}, direct("nme", "first")]
    assert api.post("mappings/dry-run", body | {"column_mappings": rules}).codes == {
        "column_mappings.0": "unknown_column",
        "column_mappings.1": "required",
        "column_mappings.2": "unknown_column",
    }
    refused = body | {"source_query": "SELECT nope FROM dried", "column_mappings": RULES}
    assert list(api.post("mappings/dry-run", refused).codes) == ["source_query"]
    assert api.post("mappings/dry-run", {}).status == 400
    assert api.post("mappings/dry-run", body | {"colums": 1}).codes == {"colums": "unknown_field"}


def test_a_statement_that_no_mapping_runs_is_a_problem(api, server, body):
    query = {"postgresql": "SHOW server_version", "mysql": "SHOW TABLES"}[server.kind]
    given = {"source_connection_id": body["source_connection_id"], "source_query": query}
    name = api.post("mappings/preview", given).json()["columns"][0]
    asked = body | {"source_query": query, "column_mappings": [direct(name, "first")]}
    (problem,) = shown(api.post("mappings/dry-run", asked))["problems"]
    assert (problem["code"], problem["rule_id"]) == ("query_refused", None)
    assert problem["message"].startswith("SHOW can be previewed")
