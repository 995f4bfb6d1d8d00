"""Many clients at once, on the service as it runs in production: two processes, many threads.

Over a replica set, which has transactions, and over a stand-alone server, which has none.
"""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import count

import pytest

from devtools.mongodb import mongodb
from devtools.processes import LOOPBACK, free_port
from devtools.service import service

number = count(1)
pool = ThreadPoolExecutor(24)


@pytest.fixture(scope="module", params=["replica set", "stand-alone"])
def call(request, tmp_path_factory):
    """A function that sends one request and returns its status, headers and JSON."""
    folder = tmp_path_factory.mktemp("races")
    alone = request.param == "stand-alone"
    with (
        mongodb(folder, free_port(), durable=False, standalone=alone) as store,
        service(store.url, "races", folder / "service.log") as (_, port),
    ):

        def send(method, path, body=None, **headers):
            connection = HTTPConnection(LOOPBACK, port, timeout=20)
            sent = {"Content-Type": "application/json"} | headers
            data = json.dumps(body) if body is not None else None
            connection.request(method, f"/api/v1/{path}", data, sent)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answer.status, answer.headers, json.loads(content or b"null")

        yield send


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
    answers = at_once(lambda i: call("PUT", path, {"host": f"h{i}"}, **version), range(20))
    assert answers == {200: 1, 412: 19}


def test_changes_of_different_fields_all_survive(call):
    path = f"connections/{made_connection(call)}"
    changes = [{"host": "new"}, {"database": "new"}, {"username": "new"}, {"port": 4242}]
    assert at_once(lambda change: call("PATCH", path, change), changes * 3) == {200: 12}
    record = call("GET", path)[2]
    assert {**changes[0], **changes[1], **changes[2], **changes[3]}.items() <= record.items()


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
