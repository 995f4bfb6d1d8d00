"""Many clients at once, on the service as it runs in production: two processes, many threads.

What concerns one record holds over a replica set, which has transactions, and over a stand-alone
server, which has none; what spans records, over the former.
"""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import count

import pytest
from bson import ObjectId
from pymongo import MongoClient

from devtools.mongodb import mongodb
from devtools.processes import LOOPBACK, free_port
from devtools.service import service

number = count(1)
with_transactions = pytest.mark.parametrize("running", ["replica set"], indirect=True)
pool = ThreadPoolExecutor(24)


@pytest.fixture(scope="module", params=["replica set", "stand-alone"])
def running(request, tmp_path_factory):
    """The address of a store, and the port of the service over it."""
    folder = tmp_path_factory.mktemp("races")
    alone = request.param == "stand-alone"
    with (
        mongodb(folder, free_port(), durable=False, standalone=alone) as store,
        service(store.url, "races", folder / "service.log") as (_, port),
    ):
        yield store.url, port


@pytest.fixture(scope="module")
def call(running):
    """A function that sends one request and returns its status, headers and JSON.

    A 503 is repeated, as it asks for: on a busy machine the store may take too long.
    """

    def send(*request, **headers):
        for _ in range(5):
            answer = once(*request, **headers)
            if answer[0] != 503:
                return answer
            time.sleep(1)
        return answer

    def once(method, path, body=None, **headers):
        connection = HTTPConnection(LOOPBACK, running[1], timeout=20)
        sent = {"Content-Type": "application/json"} | headers
        data = json.dumps(body) if body is not None else None
        connection.request(method, f"/api/v1/{path}", data, sent)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, json.loads(content or b"null")

    return send


@pytest.fixture(scope="module")
def stored_rules(running):
    """A function that counts what the store holds of a mapping's rules."""
    with MongoClient(running[0]) as client:
        rules = client["races"]["column_mappings"]
        yield lambda mapping: rules.count_documents({"mapping_id": ObjectId(mapping)})


def at_once(work, items):
    """Return how often each status was answered."""
    return Counter(answer[0] for answer in pool.map(work, items))


def connection_body(name):
    account = {"database": "d", "username": "u", "password": "p"}
    return {"name": name, "db_type": "mysql", "host": "h", **account}


def made(call, path, body):
    status, _, record = call("POST", path, body)
    assert status == 201, record
    return record["id"]


def made_connection(call):
    return made(call, "connections", connection_body(f"c{next(number)}"))


def made_schema(call):
    columns = [{"name": name, "data_type": "string"} for name in "abcdefgh"]
    return made(call, "schemas", {"name": f"s{next(number)}", "columns": columns})


def mapping_body(connection, schema):
    query = {"source_query": "SELECT 1", "source_connection_id": connection}
    return {"name": f"m{next(number)}", "target_schema_id": schema, **query}


def rule(source, target):
    return {"type": "direct", "source_columns": [source], "target_fields": [target]}


def test_of_twenty_creates_of_one_name_one_succeeds(call):
    body = connection_body(f"one{next(number)}")
    assert at_once(lambda _: call("POST", "connections", body), range(20)) == {201: 1, 409: 19}


def test_of_twenty_changes_of_one_version_one_succeeds(call):
    path = f"connections/{made_connection(call)}"
    version = {"If-Match": call("GET", path)[1]["ETag"]}
    answers = at_once(lambda i: call("PUT", path, {"database": f"d{i}"}, **version), range(20))
    assert answers == {200: 1, 412: 19}


def test_changes_of_different_fields_all_survive(call):
    path = f"connections/{made_connection(call)}"
    changes = [{"name": f"c{next(number)}"}, {"database": "new"}, {"username": "new"}]
    changes.append({"ssh_username": "new"})
    assert at_once(lambda change: call("PATCH", path, change), changes * 3) == {200: 12}
    record = call("GET", path)[2]
    assert {**changes[0], **changes[1], **changes[2], **changes[3]}.items() <= record.items()


@with_transactions
def test_no_field_is_written_twice_and_no_two_sets_mix(call):
    mapping = made(call, "mappings", mapping_body(made_connection(call), made_schema(call)))
    path = f"mappings/{mapping}/column-mappings"
    same = at_once(lambda _: call("POST", path, rule("x", "a")), range(12))
    assert same == {201: 1, 400: 11}
    assert at_once(lambda field: call("POST", path, rule("x", field)), "bcdefgh") == {201: 7}
    sets = [[rule(f"s{i}", field) for field in "abcde"] for i in range(6)]
    assert at_once(lambda wanted: call("PUT", path, wanted), sets) == {200: 6}
    left = call("GET", path)[2]
    assert len(left) == 5
    assert len({tuple(one["source_columns"]) for one in left}) == 1


@with_transactions
def test_a_connection_deleted_while_a_mapping_is_made_leaves_no_dangling_reference(call):
    schema = made_schema(call)
    for _ in range(15):
        connection = made_connection(call)
        path = f"connections/{connection}"
        bodies = [mapping_body(connection, schema) for _ in range(2)]
        futures = [
            pool.submit(call, "POST", "mappings", bodies[0]),
            pool.submit(call, "DELETE", path),
            pool.submit(call, "POST", "mappings", bodies[1]),
        ]
        statuses = [future.result()[0] for future in futures]
        users = call("GET", f"mappings?source_connection_id={connection}")[2]
        if call("GET", path)[0] == 404:
            assert users == [], statuses
        else:
            assert statuses[1] == 409
            assert len(users) == statuses.count(201)


@with_transactions
def test_a_mapping_deleted_while_rules_are_added_leaves_none_behind(call, stored_rules):
    connection, schema = made_connection(call), made_schema(call)
    for _ in range(8):
        mapping = made(call, "mappings", mapping_body(connection, schema))
        path = f"mappings/{mapping}"
        fields = [rule("x", field) for field in "abc"]
        futures = [
            pool.submit(call, "POST", f"{path}/column-mappings", fields[0]),
            pool.submit(call, "DELETE", path),
            pool.submit(call, "PUT", f"{path}/column-mappings", fields[1:]),
        ]
        statuses = [future.result()[0] for future in futures]
        assert statuses[1] == 204
        assert set(statuses) <= {200, 201, 204, 404}
        assert stored_rules(mapping) == 0


@with_transactions
def test_a_column_dropped_while_a_mapping_is_made_or_moved_is_never_written(call):
    connection = made_connection(call)
    for _ in range(8):
        before, after = made_schema(call), made_schema(call)
        mapping = made(call, "mappings", mapping_body(connection, before))
        made(call, f"mappings/{mapping}/column-mappings", rule("x", "a"))
        fewer = {"columns": [{"name": "b", "data_type": "string"}]}
        futures = [
            pool.submit(call, "PATCH", f"mappings/{mapping}", {"target_schema_id": after}),
            pool.submit(call, "PATCH", f"schemas/{after}", fewer),
        ]
        moved, dropped = (future.result()[0] for future in futures)
        assert (moved, dropped) in {(200, 409), (400, 200)}
        target = call("GET", f"mappings/{mapping}")[2]["target_schema_id"]
        columns = call("GET", f"schemas/{target}")[2]["columns"]
        assert "a" in {column["name"] for column in columns}


@with_transactions
def test_a_mapping_deleted_while_a_schedule_is_made_leaves_no_dangling_reference(call):
    connection, schema = made_connection(call), made_schema(call)
    for _ in range(8):
        mapping = made(call, "mappings", mapping_body(connection, schema))
        body = {"name": f"t{next(number)}", "mapping_id": mapping, "cron_expression": "@daily"}
        futures = [
            pool.submit(call, "POST", "schedules", body),
            pool.submit(call, "DELETE", f"mappings/{mapping}"),
        ]
        statuses = tuple(future.result()[0] for future in futures)
        assert statuses in {(201, 409), (400, 204)}
