"""A mapping is proven by its source when it is saved, and again whenever somebody asks."""

import threading
import time

import pytest

from common.tests.client import direct, in_process, join, made, mapping_body
from mappings import source
from mappings.tests.conftest import connection_to, onto

BINARY = {"postgresql": "bytea", "mysql": "blob"}


@pytest.fixture
def shop(server):
    server.run("DROP TABLE IF EXISTS proven")
    server.run(f"CREATE TABLE proven (id int, name varchar(20), photo {BINARY[server.kind]})")
    return server


@pytest.fixture
def body(api, shop):
    """A mapping's body whose query the source runs."""
    return mapping_body(
        api,
        source_connection_id=connection_to(api, shop.reader),
        source_query="SELECT id, name, photo FROM proven",
        target_schema_id=onto(api, key="integer", day="date", text="string"),
    )


@pytest.fixture
def path(api, body):
    return f"mappings/{api.create('mappings', body)['id']}"


def status_of(api, path):
    return api.get(path).json()["verification"]["status"]


def test_a_save_describes_the_query(api, body, shop):
    found = api.create("mappings", body)["verification"]
    assert (found["status"], found["problems"]) == ("verified", [])
    assert [(one["name"], one["data_type"]) for one in found["columns"]] == [
        ("id", "integer"),
        ("name", "string"),
        ("photo", None),
    ]
    assert all(one["database_type"] for one in found["columns"])
    assert found["checked_at"].endswith("Z")


def test_a_query_that_the_database_refuses_is_a_400_on_it(api, body, path):
    for answer in (
        api.post("mappings", body | {"name": "", "source_query": "SELECT nope\nFROM proven"}),
        api.patch(path, {"name": "", "source_query": "SELECT nope\nFROM proven"}),
    ):
        assert answer.status == 400
        assert answer.codes["source_query"] == "query_refused"
        assert "nope" in answer.messages["source_query"]
        assert "name" in answer.codes


def test_postgresql_tells_the_position(api, postgres):
    wrong = mapping_body(
        api, source_connection_id=connection_to(api, postgres.reader), source_query="SELECT\n  nope"
    )
    message = api.post("mappings", wrong).messages["source_query"]
    assert message == 'column "nope" does not exist (at character 10)'


@pytest.mark.parametrize("query", ["SHOW TABLES", "EXPLAIN SELECT 1", "/* a */ show tables"])
def test_what_gives_no_rows_is_refused(api, body, query):
    answer = api.post("mappings", body | {"source_query": query})
    assert answer.codes == {"source_query": "refused_statement"}


def test_a_rule_on_a_column_that_is_not_there_names_the_nearest(api, path):
    rules = f"{path}/column-mappings"
    said = 'The query does not return the column "idd"; the nearest is "id".'
    answer = api.post(rules, direct("idd", "key"))
    assert (answer.status, answer.errors) == (400, {"source_columns.0": ("unknown_column", said)})
    answer = api.put(rules, [direct("id", "key"), join("name", "idd", target="text")])
    assert answer.errors == {"1.source_columns.1": ("unknown_column", said)}
    assert api.get(rules).json() == []
    rule = api.create(rules, direct("id", "key"))
    answer = api.patch(f"{rules}/{rule['id']}", {"source_columns": ["ID"]})
    assert answer.codes == {"source_columns.0": "unknown_column"}
    assert status_of(api, path) == "verified"


def test_a_type_that_can_never_pass_is_refused(api, path):
    rules = f"{path}/column-mappings"
    answer = api.post(rules, [direct("photo", "day"), direct("id", "key"), direct("nam", "text")])
    assert answer.codes == {
        "0.target_fields.0": "impossible_cast",
        "2.source_columns.0": "unknown_column",
    }
    assert api.post(rules, direct("photo", "text")).status == 201


def test_a_composite_type_of_postgresql_becomes_text_alone(api, postgres):
    query = "SELECT c AS whole, ROW(1, 'a') AS pair FROM pg_catalog.pg_class c"
    made = mapping_body(
        api, source_connection_id=connection_to(api, postgres.reader), source_query=query
    )
    made["target_schema_id"] = onto(api, key="integer", day="date", text="string")
    rules = f"mappings/{api.create('mappings', made)['id']}/column-mappings"
    answer = api.post(rules, [direct("whole", "key"), direct("pair", "day")])
    assert set(answer.codes.values()) == {"impossible_cast"}
    assert len(answer.codes) == 2
    assert api.post(rules, direct("pair", "text")).status == 201


def test_a_name_that_comes_twice_is_ambiguous(api, body):
    twice = body | {"source_query": "SELECT id, name, id FROM proven"}
    rules = f"mappings/{api.create('mappings', twice)['id']}/column-mappings"
    assert api.post(rules, direct("id", "key")).codes == {"source_columns.0": "ambiguous_column"}
    assert api.post(rules, direct("name", "text")).status == 201


def test_a_new_query_must_still_give_what_the_rules_read(api, path):
    api.create(f"{path}/column-mappings", direct("name", "text"))
    answer = api.patch(path, {"source_query": "SELECT id, photo FROM proven"})
    assert answer.codes == {"source_query": "unknown_column"}
    assert (
        'direct rule name → text: The query does not return the column "name"'
        in (answer.messages["source_query"])
    )
    assert api.patch(path, {"source_query": "SELECT name FROM proven"}).status == 200


def test_another_schema_must_take_what_the_rules_bring(api, path):
    api.create(f"{path}/column-mappings", direct("photo", "text"))
    other = onto(api, text="date")
    answer = api.patch(path, {"target_schema_id": other})
    assert answer.codes == {"target_schema_id": "impossible_cast"}


def test_only_saves_that_send_what_the_source_has_a_say_in_ask_it(api, path, monkeypatch):
    asked = []
    monkeypatch.setattr(source.preview, "survey", lambda *given: asked.append(given))
    before = api.get(path).json()["verification"]
    assert api.patch(path, {"description": "new"}).json()["verification"] == before
    assert asked == []


def test_a_verification_is_no_change_of_the_mapping(api, path, shop):
    before = api.get(path)
    answer = api.post(f"{path}/verify")
    assert (answer.status, answer.json()["status"]) == (200, "verified")
    after = api.get(path)
    assert after.json()["verification"] == answer.json()
    assert after.json()["updated_at"] == before.json()["updated_at"]
    assert after.etag != before.etag
    assert api.patch(path, {"description": "x"}, If_Match=before.etag).status == 200
    sent_back = api.get(path).json()
    assert api.put(path, sent_back | {"verification": {"status": "broken"}}).status == 200
    assert status_of(api, path) == "verified"
    assert api.post(f"{path}/verify", {"a": 1}).status == 400


def test_a_source_that_changes_drifts_or_breaks_the_mapping(api, body, shop):
    record = api.create("mappings", body | {"source_query": "SELECT * FROM proven"})
    path = f"mappings/{record['id']}"
    rule = api.create(f"{path}/column-mappings", direct("name", "text"))
    shop.run("ALTER TABLE proven ADD COLUMN more int")
    for _ in range(2):
        found = api.post(f"{path}/verify").json()
        assert found["status"] == "drifted"
        (problem,) = found["problems"]
        assert (problem["code"], problem["rule_id"]) == ("added_column", None)
        assert [one["name"] for one in found["columns"]][-1] == "more"
    shop.run("ALTER TABLE proven DROP COLUMN name")
    found = api.post(f"{path}/verify").json()
    assert found["status"] == "broken"
    assert found["problems"][0]["code"] == "unknown_column"
    assert found["problems"][0]["rule_id"] == rule["id"]
    assert api.patch(path, {"description": "still here"}).status == 200
    sent_back = api.get(path).json()
    assert api.put(path, sent_back | {"description": "sent back"}).status == 200
    assert status_of(api, path) == "broken"
    assert api.delete(f"{path}/column-mappings/{rule['id']}").status == 204
    assert status_of(api, path) == "drifted"
    shop.run("DROP TABLE proven")
    found = api.post(f"{path}/verify").json()
    assert (found["status"], found["problems"][0]["code"]) == ("broken", "query_refused")
    assert [one["name"] for one in found["columns"]][-1] == "more"


def test_what_drifts_is_told_in_the_order_of_the_columns(api, body, shop):
    record = api.create("mappings", body | {"source_query": "SELECT * FROM proven"})
    names = [f"more{number}" for number in range(8)]
    for name in names:
        shop.run(f"ALTER TABLE proven ADD COLUMN {name} int")
    found = api.post(f"mappings/{record['id']}/verify").json()["problems"]
    assert [one["message"] for one in found] == [
        f'The query returns a new column "{name}".' for name in names
    ]


def test_a_stored_statement_of_another_kind_is_broken(api, stored, path):
    stored.mappings.update_one({}, {"$set": {"source_query": "SHOW TABLES"}})
    found = api.post(f"{path}/verify").json()
    assert (found["status"], found["problems"][0]["code"]) == ("broken", "query_refused")
    assert api.patch(path, {"description": "kept"}).status == 200


def test_a_source_that_is_down_blocks_nothing(api, body, path):
    nowhere = made(api, "connections", host="127.0.0.1", port=9)["id"]
    answer = api.patch(path, {"source_connection_id": nowhere})
    found = answer.json()["verification"]
    assert (answer.status, found["status"]) == (200, "unverified")
    assert found["problems"][0]["code"] == "source_unreachable"
    assert [one["name"] for one in found["columns"]] == ["id", "name", "photo"]
    assert api.post(f"{path}/column-mappings", direct("anything", "text")).status == 201


def test_a_refused_login_is_unverified(api, body, shop):
    wrong = connection_to(api, shop.reader, password="wrong")
    found = api.create("mappings", body | {"source_connection_id": wrong})["verification"]
    assert found["status"] == "unverified"
    assert found["problems"][0]["code"] == "authentication_failed"
    assert "wrong" not in str(found)


def test_a_silent_source_is_waited_for_once(api, body, listen):
    with listen(lambda sock: sock.recv(1) and time.sleep(30)) as port:
        silent = made(api, "connections", host="127.0.0.1", port=port)["id"]
        times = []
        for number in range(3):
            began = time.monotonic()
            wanted = body | {"name": f"silent {number}", "source_connection_id": silent}
            record = api.create("mappings", wanted)
            times.append(time.monotonic() - began)
            assert record["verification"]["status"] == "unverified"
    assert 2 < times[0] < 8
    assert max(times[1:]) < 2


LOCKED = {
    "postgresql": ("BEGIN; LOCK TABLE proven IN ACCESS EXCLUSIVE MODE", "ROLLBACK"),
    "mysql": ("LOCK TABLES proven WRITE", "UNLOCK TABLES"),
}


def test_a_query_that_takes_long_to_describe_is_no_silence(api, body, shop):
    lock, unlock = LOCKED[shop.kind]
    shop.run(lock)
    try:
        began = time.monotonic()
        found = api.create("mappings", body)["verification"]
        assert time.monotonic() - began < 8
    finally:
        shop.run(unlock)
    assert found["status"] == "unverified"
    assert found["problems"][0]["code"] == "source_timeout"
    record = api.create("mappings", body | {"name": "after it"})
    assert record["verification"]["status"] == "verified"


def test_two_at_once_never_leave_a_rule_that_the_query_lacks(api, path):
    """One takes a column out of the query while the other adds a rule that reads it."""
    outcomes = []

    def send(method, where, body):
        one = in_process()
        outcomes.append(one.request(method, where, body).status)

    for _ in range(3):
        api.put(f"{path}/column-mappings", [])
        api.patch(path, {"source_query": "SELECT id, name FROM proven"})
        threads = [
            threading.Thread(
                target=send, args=("PATCH", path, {"source_query": "SELECT id FROM proven"})
            ),
            threading.Thread(
                target=send, args=("POST", f"{path}/column-mappings", direct("name", "text"))
            ),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        mapping, rules = api.get(path).json(), api.get(f"{path}/column-mappings").json()
        reads_it = any(rule["source_columns"] == ["name"] for rule in rules)
        assert not reads_it or "name" in mapping["source_query"]
    assert set(outcomes) <= {200, 201, 400}


def test_an_upsert_whose_key_no_rule_writes_is_broken(api, body):
    made_of = body | {"write_mode": "upsert", "key_fields": ["key"]}
    path = f"mappings/{api.create('mappings', made_of)['id']}"
    assert status_of(api, path) == "verified"
    of_text = api.create(f"{path}/column-mappings", direct("name", "text"))
    said = 'No rule writes the key field "key"; add one that does, or choose another key.'
    found = api.get(path).json()["verification"]
    assert found["status"] == "broken"
    assert found["problems"] == [{"code": "mapping_incomplete", "message": said, "rule_id": None}]
    of_key = api.create(f"{path}/column-mappings", direct("id", "key"))
    assert status_of(api, path) == "verified"
    api.delete(f"{path}/column-mappings/{of_key['id']}")
    found = api.get(path).json()["verification"]
    assert (found["status"], found["problems"][0]["message"]) == ("broken", said)
    api.delete(f"{path}/column-mappings/{of_text['id']}")
    assert status_of(api, path) == "verified"


@pytest.mark.parametrize("column", ["enum_column", "uuid_column"])
def test_a_cursor_without_an_order_is_refused_at_the_save(api, body, shop, column):
    types = {"postgresql": ("mood", "uuid"), "mysql": ("enum('a', 'b')", "uuid")}[shop.kind]
    if shop.kind == "postgresql":
        shop.run("DROP TYPE IF EXISTS mood CASCADE")
        shop.run("CREATE TYPE mood AS ENUM ('a', 'b')")
    shop.run("DROP TABLE IF EXISTS unordered")
    shop.run(f"CREATE TABLE unordered (id int, enum_column {types[0]}, uuid_column {types[1]})")
    query = {"source_query": "SELECT * FROM unordered", "cursor_column": column}
    answer = api.post("mappings", body | query)
    assert answer.codes == {"cursor_column": "mapping_incomplete"}
    assert f'"{column}" is' in answer.messages["cursor_column"]
