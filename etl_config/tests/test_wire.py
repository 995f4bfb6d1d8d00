"""What only a real connection shows: chunks, lengths, HEAD, nonsense, and sources that hang."""

import json
import re
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPConnection

import pytest

from common.tests.client import connection_body
from devtools.mongodb import mongodb
from devtools.processes import LOOPBACK, free_port
from devtools.service import service

MEBIBYTE = 1024 * 1024
PATH = "/api/v1/connections"
PLACES = {
    "PROBE_MAX_CONCURRENT": "5",
    "PREVIEW_MAX_CONCURRENT": "3",
    "PROBE_TIMEOUT_S": "0.9",
    "PREVIEW_TIMEOUT_S": "0.9",
}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("wire") / "service.log"


@pytest.fixture(scope="module")
def port(log):
    with (
        mongodb(log.parent, free_port(), durable=False) as store,
        service(store.url, "wire", log, **PLACES) as (_, port),
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


def test_the_access_log_has_one_line_a_request_without_its_query(port, log):
    exchange(port, request("GET", "/health?token=word", "Authorization: word"))
    exchange(port, request("GET", "/logged%0A127.0.0.1%20%22GET%20/forged"))
    lines = [line for line in log.read_text().splitlines() if line.startswith("127.0.0.1 ")]
    seen = [re.sub(r"\d+ bytes \d+ ms$", "…", line) for line in lines]
    assert seen.count('127.0.0.1 "GET /health" 200 …') >= 1
    assert '127.0.0.1 "GET /logged%0A127.0.0.1%20%22GET%20/forged" 404 …' in seen
    assert not any("word" in line or line.startswith('127.0.0.1 "GET /forged') for line in lines)


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


@pytest.fixture
def silent():
    """A host that takes connections and says nothing; yields its port and what it has taken."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        taken = []

        def take() -> None:
            with suppress(OSError):
                while True:
                    taken.append(listener.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        yield listener.getsockname()[1], taken
        listener.shutdown(socket.SHUT_RDWR)
        for sock in taken:
            sock.close()


def test_hanging_sources_take_the_places_that_all_workers_share_and_no_more(port, silent):
    """However the requests fall to the workers, exactly so many hang, and the rest goes on."""
    host, taken = silent
    hanging = json.dumps(connection_body(db_type="mysql", host=LOOPBACK, port=host)).encode()
    _, _, stored = send(port, "POST", PATH, hanging)
    here = f"{PATH}/{json.loads(stored)['id']}"
    with ThreadPoolExecutor(8) as executor:
        probes = [executor.submit(send, port, "POST", f"{here}/test") for _ in range(5)]
        listings = [executor.submit(send, port, "GET", f"{here}/tables") for _ in range(3)]
        while len(taken) < 8:
            time.sleep(0.01)
        more = [send(port, "POST", f"{here}/test"), send(port, "GET", f"{here}/tables")]
        others = Counter(send(port, "GET", here)[0] for _ in range(20))
        assert not any(each.done() for each in probes + listings)

    assert [json.loads(body)["detail"] for _, _, body in more] == [
        f"{many} are running already; try again in a few seconds. Wait for one of them to end."
        for many in ("5 connection tests", "3 queries")
    ]
    assert [status for status, _, _ in more] == [429, 429]
    assert others == {200: 20}
    assert [each.result()[0] for each in probes + listings] == [200] * 5 + [504] * 3


def send(port, method, path, body=b""):
    return exchange(port, request(method, path, f"Content-Length: {len(body)}"), body)
