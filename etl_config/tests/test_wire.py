"""What only a real connection shows: chunks, lengths, HEAD, and answers to nonsense."""

import json
import socket
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest

from common.testing import connection_body
from devtools.mongodb import mongodb
from devtools.processes import LOOPBACK, free_port
from devtools.service import service

MEBIBYTE = 1024 * 1024
PATH = "/api/v1/connections"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wire")
    with (
        mongodb(folder, free_port(), durable=False) as store,
        service(store.url, "wire", folder / "service.log") as (_, port),
    ):
        yield port


def exchange(port, head, *parts):
    """Send a request as it stands; return the status line's number, the headers and the body."""
    with socket.create_connection((LOOPBACK, port), timeout=20) as wire:
        wire.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        try:
            for part in parts:
                wire.sendall(part)
        except OSError:
            pass  # Refused before all of it was read.
        received = b""
        while more := wire.recv(65536):
            received += more
    top, _, body = received.partition(b"\r\n\r\n")
    return int(top.split()[1]), top.decode().lower(), body


def request(method, path, *headers):
    common = ("Host: localhost", "Connection: close", "Content-Type: application/json")
    return "\n".join((f"{method} {path} HTTP/1.1", *common, *headers))


def chunk(content):
    return b"%x\r\n%s\r\n" % (len(content), content)


CHUNKED = "Transfer-Encoding: chunked"


def test_a_body_in_chunks_is_read(port):
    content = json.dumps(connection_body(name="in chunks")).encode()
    parts = [chunk(content[:20]), chunk(content[20:]), chunk(b"")]
    status, _, body = exchange(port, request("POST", PATH, CHUNKED), *parts)
    assert (status, json.loads(body)["name"]) == (201, "in chunks")


def test_a_body_in_chunks_has_the_same_limit(port):
    content = json.dumps(connection_body(name="just fits")).encode().ljust(MEBIBYTE)
    fits = exchange(port, request("POST", PATH, CHUNKED), chunk(content), chunk(b""))
    over = exchange(port, request("POST", PATH, CHUNKED), chunk(content + b" "), chunk(b""))
    assert (fits[0], over[0]) == (201, 413)
    assert json.loads(over[2])["code"] == "too_large"


def test_an_empty_body_in_chunks_is_an_empty_body(port):
    status, _, body = exchange(port, request("POST", PATH, CHUNKED), chunk(b""))
    assert (status, json.loads(body)["code"]) == (400, "invalid")


def test_a_body_far_over_the_limit_is_a_413(port):
    length = f"Content-Length: {5 * MEBIBYTE}"
    status, _, body = exchange(port, request("POST", PATH, length), b" " * (5 * MEBIBYTE))
    assert (status, json.loads(body)["code"]) == (413, "too_large")


@pytest.mark.parametrize("path", [PATH, f"{PATH}/", "/health", "/", "/nowhere"])
def test_head_has_headers_alone(port, path):
    status, top, body = exchange(port, request("HEAD", path))
    assert status == (404 if path == "/nowhere" else 200)
    assert "content-type: application/" in top
    assert body == b""


@pytest.mark.parametrize("path", [PATH, "/health", "/docs"])
def test_no_answer_says_what_it_runs_on(port, path):
    _, top, _ = exchange(port, request("GET", path))
    for told in ("django", "wsgi", "python"):
        assert told not in top


def test_two_requests_sent_at_once_are_both_answered(port):
    kept = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection((LOOPBACK, port), timeout=20) as wire:
        wire.sendall((kept + kept.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).encode())
        received = b"".join(iter(lambda: wire.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 2


def test_clients_that_stay_connected_keep_nobody_waiting(port):
    """More of them than there are threads, each between two requests."""
    clients = [HTTPConnection(LOOPBACK, port, timeout=20) for _ in range(80)]
    with ExitStack() as stack:
        for client in clients:
            stack.callback(client.close)
        for _ in range(2):
            for client in clients:
                client.request("GET", "/")
            responses = [client.getresponse() for client in clients]
            assert {(response.status, bool(response.read())) for response in responses} == {
                (200, True)
            }
