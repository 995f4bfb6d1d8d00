"""What only a real connection shows: chunks, lengths, HEAD, nonsense, and sources that hang."""

import json
import os
import signal
import socket
import subprocess
import sys
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
from devtools.service import ROOT, service

MEBIBYTE = 1024 * 1024
PATH = "/api/v1/connections"
SETTINGS = {
    "LOG_FORMAT": "json",
    "TRUSTED_PROXIES": "127.0.0.0/8",
    "PROBE_MAX_CONCURRENT": "5",
    "PREVIEW_MAX_CONCURRENT": "3",
    "PROBE_TIMEOUT_S": "0.9",
    "PREVIEW_TIMEOUT_S": "0.9",
    "MARK": "word-of-the-environment",
    "HTTP_PROXY": "word-of-the-environment",
}
PATIENT = SETTINGS | {"PROBE_TIMEOUT_S": "4.5", "PREVIEW_TIMEOUT_S": "5"}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("wire") / "service.log"


@pytest.fixture(scope="module")
def store(log):
    with mongodb(log.parent, free_port(), durable=False) as server:
        yield server.url


@pytest.fixture(scope="module")
def port(store, log):
    with service(store, "wire", log, **SETTINGS) as (_, port):
        yield port


@pytest.fixture(scope="module")
def debugging(store, port, log):
    """Another service over the same store, with DEBUG on."""
    with service(store, "wire", log, migrate=False, DEBUG="true", **SETTINGS) as (_, another):
        yield another


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
    lines = [line for line in log.read_text().splitlines() if '"logger":"access"' in line]
    seen = [json.loads(line) for line in lines]
    assert {line["status"] for line in seen if line["path"] == "/health"} == {200}
    (odd,) = [line for line in seen if "logged" in line["path"]]
    assert (odd["path"], odd["status"]) == ("/logged%0A127.0.0.1%20%22GET%20/forged", 404)
    assert not any("word" in line for line in lines)


def test_a_request_has_one_id_in_its_answer_and_its_log(port, log):
    given = exchange(port, request("GET", "/health", "X-Request-ID: trace/1=a:b"))[1]
    odd = exchange(port, request("GET", "/health", 'X-Request-ID: a" forged'))[1]
    assert "x-request-id: trace/1=a:b" in given
    made = odd.partition("x-request-id: ")[2].split()[0]
    assert len(made) == 32
    assert made in log.read_text()
    assert '"request_id":"trace/1=a:b"' in log.read_text()


def test_a_refusal_is_told_once_with_its_id(port, log):
    exchange(port, request("GET", "/refused", "X-Request-ID: refused-once"))
    (line,) = [line for line in log.read_text().splitlines() if "/refused" in line]
    assert json.loads(line)["request_id"] == "refused-once"


def test_what_a_trusted_proxy_says_of_the_client_counts(port, log):
    exchange(port, request("GET", "/proxied", "X-Forwarded-For: 198.51.100.7, 203.0.113.9"))
    (line,) = [line for line in log.read_text().splitlines() if "/proxied" in line]
    assert json.loads(line)["address"] == "203.0.113.9"


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script-Name", "X-Script-Name", "SCRIPT_URL"])
def test_no_header_moves_the_path(port, name):
    moved = exchange(port, request("GET", f"/health{PATH}", f"{name}: /health"))
    stays = exchange(port, request("GET", PATH, f"{name}: /nonsense"))
    assert (moved[0], stays[0]) == (404, 200)


def test_nothing_of_the_environment_is_in_a_request(debugging):
    """An error page of Django shows a request's META while DEBUG is on."""
    head = "GET / HTTP/1.1\nHost: evil.example\nConnection: close\nX-Shown: word-of-the-client"
    status, _, page = exchange(debugging, head)
    assert (status, b"word-of-the-client" in page) == (400, True)
    assert b"word-of-the-environment" not in page
    assert os.environ["ENCRYPTION_KEY"].encode() not in page


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/", "/api/v1/nowhere", f"{PATH}/no/no"])
def test_below_the_prefix_debugging_shows_no_page(debugging, path):
    status, top, body = exchange(debugging, request("GET", path))
    assert (status, json.loads(body)["code"]) == (404, "not_found")
    assert "content-type: application/problem+json" in top


def test_a_body_that_is_cut_off_is_refused(port):
    content = json.dumps(connection_body(name="cut off")).encode()
    with socket.create_connection((LOOPBACK, port), timeout=20) as wire:
        head = request("POST", PATH, f"Content-Length: {len(content) + 10}")
        wire.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + content)
        wire.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: wire.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"The body ended before" in received
    assert b"cut off" not in exchange(port, request("GET", PATH))[2]


SLOW = 200


def test_clients_that_drip_their_bodies_stop_no_reads(port):
    with ExitStack() as stack:
        wires = [stack.enter_context(connected(port)) for _ in range(SLOW)]
        head = request("POST", PATH, "Content-Length: 500").replace("\n", "\r\n")
        for wire in wires:
            wire.sendall(head.encode() + b"\r\n\r\n{")
        time.sleep(0.5)
        for _ in range(20):
            began = time.monotonic()
            assert exchange(port, request("GET", "/health"))[0] == 200
            assert time.monotonic() - began < 0.5
        status, top, body = exchange(port, request("POST", PATH, "Content-Length: 2"), b"{}")
        assert (status, json.loads(body)["code"]) == (503, "busy")
        assert "retry-after: 1" in top
        assert "content-type: application/problem+json" in top
    deadline = time.monotonic() + 5
    while send(port, "POST", PATH, b"{}")[0] == 503:
        assert time.monotonic() < deadline
    assert send(port, "POST", PATH, b"{}")[0] == 400


def test_clients_that_drip_their_headers_are_closed(port):
    with ExitStack() as stack:
        wires = [stack.enter_context(connected(port)) for _ in range(SLOW)]
        began = time.monotonic()
        while time.monotonic() - began < 5.5:
            for wire in wires:
                with suppress(OSError):
                    wire.sendall(b"X")
            assert exchange(port, request("GET", "/health"))[0] == 200
            time.sleep(0.5)
        for wire in wires:
            wire.settimeout(2)
            with suppress(ConnectionResetError):
                assert wire.recv(1) == b""


def connected(port):
    return socket.create_connection((LOOPBACK, port), timeout=20)


def test_what_is_no_http_gets_an_empty_400(port):
    with connected(port) as wire:
        wire.sendall(b"nonsense\r\n\r\n")
        received = b"".join(iter(lambda: wire.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.endswith(b"\r\n\r\n")


def test_a_stop_lets_a_request_end(store, log, silent):
    host, taken = silent
    body = json.dumps(connection_body(db_type="mysql", host=LOOPBACK, port=host)).encode()
    with (
        service(store, "wire", log, migrate=False, **PATIENT) as (child, port),
        ThreadPoolExecutor(1) as executor,
    ):
        probe = executor.submit(send, port, "POST", f"{PATH}/test", body)
        while not taken:
            assert not probe.done(), probe.result()
            time.sleep(0.01)
        child.process.send_signal(signal.SIGTERM)
        assert probe.result()[0] == 200
        assert child.process.wait(10) == 0


def test_wrong_settings_are_told_before_anything_listens():
    told = subprocess.run(
        [sys.executable, "-m", "etl_config.serve"],
        env=os.environ | {"ENCRYPTION_KEY": "none", "PORT": "70000"},
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert told.returncode == 1
    assert "ENCRYPTION_KEY is not a Fernet key" in told.stderr
    assert "PORT" in told.stderr
    assert "Traceback" not in told.stderr


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


@pytest.fixture(scope="module")
def patient(store, port, log):
    """Another service over the same store, with time for a busy machine to begin what will hang."""
    with service(store, "wire", log, migrate=False, **PATIENT) as (_, another):
        yield another


def test_hanging_sources_take_the_places_that_all_workers_share_and_no_more(patient, silent):
    """However the requests fall to the workers, exactly so many hang, and the rest goes on."""
    host, taken = silent
    hanging = json.dumps(connection_body(db_type="mysql", host=LOOPBACK, port=host)).encode()
    _, _, stored = send(patient, "POST", PATH, hanging)
    here = f"{PATH}/{json.loads(stored)['id']}"
    with ThreadPoolExecutor(8) as executor:
        probes = [executor.submit(send, patient, "POST", f"{here}/test") for _ in range(5)]
        listings = [executor.submit(send, patient, "GET", f"{here}/tables") for _ in range(3)]
        deadline = time.monotonic() + 4
        while len(taken) < 8 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(taken) == 8, [each.result() for each in probes + listings if each.done()]
        more = [send(patient, "POST", f"{here}/test"), send(patient, "GET", f"{here}/tables")]
        others = Counter(send(patient, "GET", here)[0] for _ in range(20))
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
