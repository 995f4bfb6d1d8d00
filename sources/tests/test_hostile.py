"""Servers that mean ill: they get neither a secret, nor a file, nor the memory of the service."""

import os
import resource
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sources import asking
from sources.contract import SourceParams, SshTunnel
from sources.errors import SourceError
from sources.login import without_secrets
from sources.preview import list_tables, run_preview
from sources.probe import probe

from .test_probe import MYSQL_GREETING, params_for

NO_TLS_GREETING = MYSQL_GREETING.replace(b"\xff\xff\xff\x02\x00", b"\xff\xf7\xff\x02\x00")
PASSWORD = "not-to-be-shown"


def packet(number: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "little") + bytes([number]) + content


OK = b"\0\0\0\x02\0\0\0"


class Rogue:
    """A MySQL without TLS that asks for the password in ways of its own."""

    def __init__(self, method: bytes) -> None:
        self.method = method
        self.key = rsa.generate_private_key(65537, 2048)
        self.heard: list[bytes] = []

    def __call__(self, sock: socket.socket) -> None:
        sock.settimeout(2)
        sock.sendall(NO_TLS_GREETING.replace(b"caching_sha2_password", self.method, 1)
                     if len(self.method) == 21 else self.greeting())  # fmt: skip
        self.hear(sock)
        if self.method == b"caching_sha2_password":
            sock.sendall(packet(2, b"\x01\x04"))
            if self.hear(sock)[4:] == b"\x02":
                sock.sendall(packet(4, b"\x01" + self.public()))
                self.hear(sock)
        else:
            sock.sendall(packet(2, b"\x01" + self.public()))
            self.hear(sock)

    def greeting(self) -> bytes:
        body = NO_TLS_GREETING[4:].replace(b"caching_sha2_password", self.method)
        return packet(0, body)

    def public(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def hear(self, sock: socket.socket) -> bytes:
        data = sock.recv(4096)
        self.heard.append(data)
        return data

    def learned(self) -> bytes:
        """Return what it can read: as it came, and with its key."""
        opened = []
        for data in self.heard:
            for length in (256,):
                try:
                    opened.append(self.key.decrypt(data[4 : 4 + length], padding.OAEP(
                        padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)))  # fmt: skip  # noqa: S303
                except ValueError:
                    continue
        return b"".join(self.heard + opened)


@pytest.mark.parametrize("method", [b"caching_sha2_password", b"sha256_password"])
@pytest.mark.parametrize("ssl_mode", ["disable", "prefer"])
def test_no_key_is_taken_from_a_server_without_tls(listen, method, ssl_mode):
    rogue = Rogue(method)
    with listen(rogue) as port:
        result = probe(params_for("mysql", port, ssl_mode=ssl_mode), 3)

    learned = rogue.learned()
    assert not result.success
    assert PASSWORD.encode() not in learned
    nonce = b"12345678123456789012"
    masked = bytes(a ^ b for a, b in zip(PASSWORD.encode(), nonce, strict=False))
    assert masked not in learned
    assert b"\x02" not in [data[4:] for data in rogue.heard]


def ask_for_a_file(sock: socket.socket) -> None:
    """Lets anyone in and answers each question with the wish for a file of the client."""
    sock.sendall(NO_TLS_GREETING)
    sock.recv(4096)
    sock.sendall(packet(2, OK))
    while data := sock.recv(65536):
        got.append(data)
        sock.sendall(packet(1, b"\xfb/etc/passwd"))


got: list[bytes] = []


def test_no_server_is_given_a_file(listen):
    got.clear()
    with listen(ask_for_a_file) as port:
        with pytest.raises(SourceError):
            run_preview(params_for("mysql", port, ssl_mode="disable"), "SELECT 1", timeout_s=2)
        assert not probe(params_for("mysql", port, ssl_mode="disable"), 2).success

    assert b"root:" not in b"".join(got)


def a_gigabyte(sock: socket.socket) -> None:
    """Answers each question with a row of a gigabyte, quickly."""
    sock.sendall(NO_TLS_GREETING)
    sock.recv(4096)
    sock.sendall(packet(2, OK))
    sock.recv(65536)
    sock.sendall(packet(1, b"\x01"))
    field = b"\x03def\0\0\0\x01x\0\x0c\x2d\0\xff\xff\xff\xff\xfd\0\0\0\0\0"
    sock.sendall(packet(2, field) + packet(3, b"\xfe\0\0\x02\0"))
    part, number = b"x" * (2**24 - 1), 4
    for _ in range(64):
        sock.sendall(packet(number % 256, part))
        number += 1


def test_a_gigabyte_stays_out_of_the_service(listen):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with listen(a_gigabyte) as port:
        params = params_for("mysql", port, ssl_mode="disable")
        with pytest.raises(SourceError):
            run_preview(params, "SELECT 1", timeout_s=4)
        with pytest.raises(SourceError):
            list_tables(params, 4)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 120 * 1024


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("pass word", 'no "pass word" here'),
        ("pass  word", 'no "pass\n word" here'),
        ("abc", "wrong: abc!"),
        ("a", "access a denied"),
    ],
)
def test_what_a_server_says_is_shown_without_the_password(password, said):
    params = SourceParams("mysql", "db", 1, "d", "u", password=password)

    assert password not in without_secrets(said, params).replace("access", "").replace("denied", "")
    assert "…" in without_secrets(said, params)


def test_secrets_of_the_tunnel_are_not_shown_either():
    tunnel = SshTunnel("h", "u", password="tunnel-word", private_key="-----BEGIN\nKEY-----")
    params = SourceParams("mysql", "db", 1, "d", "u", ssl_key="the key", ssh=tunnel)

    shown = without_secrets("tunnel-word and the key and -----BEGIN KEY-----", params)
    assert shown == "… and … and …"


@pytest.mark.parametrize("password", ["\u00ad", ""])
def test_a_password_of_which_nothing_is_left_is_a_wrong_one(server, password):
    result = probe(replace(server.reader, password=password))

    assert result.details["error_code"] == "authentication_failed"


def hang(sock: socket.socket) -> None:
    time.sleep(6)


def test_fifty_hanging_tests_leave_a_good_source_as_quick_as_before(server, listen):
    def times() -> list[float]:
        taken = []
        for _ in range(10):
            started = time.monotonic()
            run_preview(server.reader, "SELECT 1")
            taken.append(time.monotonic() - started)
        return taken

    run_preview(server.reader, "SELECT 1")
    with listen(hang) as port, ThreadPoolExecutor(50) as executor:
        hanging = [executor.submit(probe, params_for(server.kind, port), 3) for _ in range(50)]
        time.sleep(1.5)
        during = statistics.median(times())
        assert all(not each.result().success for each in hanging)

    assert during < 0.25


def test_many_tests_leave_nothing_behind(server):
    def children() -> int:
        zygote = asking.host._process.pid
        return len(Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split())

    probe(server.reader)
    asking.pool.close_idle()
    descriptors, processes = len(os.listdir("/proc/self/fd")), children()  # noqa: PTH208
    for number in range(60):
        probe(replace(server.reader, port=1 if number % 2 else server.reader.port))
    time.sleep(0.5)

    assert len(os.listdir("/proc/self/fd")) <= descriptors  # noqa: PTH208
    assert children() <= processes
