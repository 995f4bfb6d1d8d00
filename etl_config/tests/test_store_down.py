"""A store that is silent or gone is told within three seconds, and the service recovers."""

import json
import os
import signal
import time
from http.client import HTTPConnection

import pytest

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


def test_a_silent_store_is_a_503_and_the_service_recovers(running):
    store, port = running
    assert asked(port, "/api/v1/connections")[0] == 200
    os.kill(store, signal.SIGSTOP)
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
