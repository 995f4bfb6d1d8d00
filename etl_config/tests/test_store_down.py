"""A store that is silent or gone is told within three seconds, and the service recovers."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest
from pymongo import MongoClient

from devtools.mongodb import mongodb
from devtools.processes import LOOPBACK, free_port
from devtools.service import service

WITHIN_S = 3.0
PATHS = ["/api/v1/connections", "/api/v1/schemas/0123456789abcdef01234567", "/health"]


def asked(port, path):
    """Return status, headers, JSON and seconds of one GET."""
    began = time.monotonic()
    connection = HTTPConnection(LOOPBACK, port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, answer.headers, body, time.monotonic() - began


@pytest.fixture
def running(tmp_path):
    with (
        mongodb(tmp_path, free_port(), durable=False) as store,
        service(store.url, "down", tmp_path / "service.log") as (_, port),
    ):
        yield store.child.process.pid, port


def freeze(pid):
    """Stop a process, and wait until it has stopped: one that is busy may answer until then."""
    os.kill(pid, signal.SIGSTOP)
    while Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.01)


def test_a_silent_store_is_a_503_and_the_service_recovers(running):
    store, port = running
    assert asked(port, "/api/v1/connections")[0] == 200
    freeze(store)
    try:
        for path in PATHS:
            status, headers, body, seconds = asked(port, path)
            assert (status, headers["Retry-After"]) == (503, "2"), path
            assert body.get("code", "store_unavailable") == "store_unavailable"
            assert seconds < WITHIN_S, path
    finally:
        os.kill(store, signal.SIGCONT)
    deadline = time.monotonic() + 15
    while asked(port, "/api/v1/connections")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert asked(port, "/health")[2]["status"] == "healthy"


def test_writes_to_a_silent_store_are_told_in_time_too(running):
    store, port = running
    body = json.dumps({"name": "s", "columns": [{"name": "a", "data_type": "date"}]})
    assert sent(port, "POST", body)[0] == 201
    freeze(store)
    try:
        for method in ("POST", "PUT", "DELETE"):
            status, seconds = sent(port, method, body)
            assert status == 503, method
            assert seconds < WITHIN_S, method
    finally:
        os.kill(store, signal.SIGCONT)


def test_writes_that_are_under_way_when_the_store_falls_silent_are_told_in_time(running):
    store, port = running
    columns = {"columns": [{"name": "a", "data_type": "date"}]}
    bodies = [json.dumps({"name": f"s{number}", **columns}) for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(sent, port, "POST", body) for body in bodies]
        time.sleep(0.5)
        freeze(store)
        time.sleep(4)
        os.kill(store, signal.SIGCONT)
        told = [answer.result() for answer in answers]
    assert {status for status, _ in told} == {201, 503}
    assert max(seconds for _, seconds in told) < WITHIN_S + 0.5


def test_a_store_that_was_killed_is_missed_and_found_again(tmp_path):
    port = free_port()
    with (
        mongodb(tmp_path, port) as store,
        service(store.url, "killed", tmp_path / "service.log") as (_, at),
    ):
        settled(store.url, "killed")
        store.child.process.kill()
        store.child.process.wait()
        for path in PATHS:
            status, headers, _, seconds = asked(at, path)
            assert (status, headers["Retry-After"]) == (503, "2"), path
            assert seconds < WITHIN_S, path
        with mongodb(tmp_path, port):
            assert asked(at, "/api/v1/connections")[0] == 200
            assert asked(at, "/health")[2]["status"] == "healthy"


def settled(url, name):
    """Wait until no collection is being made: the embedded server does not survive a kill then."""
    with MongoClient(url) as client:
        known, since = set(), time.monotonic()
        while time.monotonic() - since < 2:
            found = set(client[name].list_collection_names())
            if found != known:
                known, since = found, time.monotonic()
            time.sleep(0.05)


def sent(port, method, body):
    """Return status and seconds of one write: a POST to the list, others to a record."""
    path = "/api/v1/schemas" if method == "POST" else PATHS[1]
    began = time.monotonic()
    connection = HTTPConnection(LOOPBACK, port, timeout=20)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, time.monotonic() - began
