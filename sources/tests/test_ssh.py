# ruff: noqa: E501 - tables of cases, one a line
"""A tunnel through a real sshd, whose host key must be the pinned one."""

import getpass
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sources import tunnel
from sources.asking import pool
from sources.contract import SourceParams, SshTunnel
from sources.errors import SourceTimeout
from sources.preview import run_preview
from sources.probe import probe

from .servers import find_program, free_port, running


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ssh")
    for name, kind in (
        ("host", "ed25519"),
        ("client", "ed25519"),
        ("rsa", "rsa"),
        ("other", "ed25519"),
    ):
        subprocess.run(
            [find_program("ssh-keygen"), "-q", "-t", kind, "-N", "", "-f", folder / name],
            check=True,
        )
    return folder


@pytest.fixture(scope="module")
def sshd(keys):
    port = free_port()
    authorized = keys / "authorized"
    authorized.write_text((keys / "client.pub").read_text() + (keys / "rsa.pub").read_text())
    (keys / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys / 'host'}\nPidFile {keys / 'pid'}\n"
        f"AuthorizedKeysFile {authorized}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin yes\nAllowTcpForwarding local\nMaxStartups 50\n"
    )
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # noqa: PTH103 - sshd as root wants it
    command = [find_program("sshd"), "-D", "-e", "-f", str(keys / "config")]
    with running(command, port, keys / "log"):
        yield SshTunnel(
            host="127.0.0.1",
            port=port,
            username=getpass.getuser(),
            private_key=(keys / "client").read_text(),
            host_key=(keys / "host.pub").read_text(),
        )
        pool.close_idle()


@pytest.fixture
def tunnelled(server, sshd) -> SourceParams:
    return replace(server.reader, ssh=sshd)


def test_a_source_is_reached_through_the_tunnel(tunnelled):
    result = probe(tunnelled)

    assert result.success, result
    assert run_preview(tunnelled, "SELECT 42").rows == [[42]]
    started = time.monotonic()
    assert run_preview(tunnelled, "SELECT 43").rows == [[43]]
    assert time.monotonic() - started < 0.2


def test_an_rsa_key_is_good_too(tunnelled, keys):
    key = (keys / "rsa").read_text()

    assert probe(replace(tunnelled, ssh=replace(tunnelled.ssh, private_key=key))).success


def test_a_long_answer_comes_through_whole(tunnelled):
    columns = ", ".join(f"repeat('{letter}', 60000)" for letter in "abcdefghijklmnopqrst")
    rows = run_preview(tunnelled, f"SELECT {columns}").rows

    assert [len(cell) for cell in rows[0]] == [60_000] * 20


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"host_key": None}, "authentication_failed", "its host key is not pinned; it shows ssh-ed25519 SHA256:"),
        ({"host_key": "other"}, "authentication_failed", "its host key is not the pinned one; it shows"),
        ({"private_key": "other"}, "authentication_failed", "the login of user"),
        ({"private_key": None, "password": "wrong"}, "authentication_failed", "the login of user"),
        ({"private_key": "no key"}, "authentication_failed", "private key cannot be read"),
        ({"port": 1}, "connection_refused", "refused the connection"),
        ({"host": "no-such-host.invalid"}, "host_not_found", "was not found"),
    ],
)  # fmt: skip
def test_each_trouble_with_the_tunnel_is_named_as_such(postgres, sshd, keys, change, code, said):
    change = {
        name: (keys / f"other{'.pub' if name == 'host_key' else ''}").read_text()
        if value == "other"
        else value
        for name, value in change.items()
    }
    result = probe(replace(postgres.reader, ssh=replace(sshd, **change)))

    assert (result.details["error_code"], result.details["stage"]) == (code, "ssh")
    assert said in result.message
    assert "PRIVATE" not in str(result)


def test_the_hint_for_an_unpinned_key_is_the_line_to_pin(postgres, sshd, keys):
    result = probe(replace(postgres.reader, ssh=replace(sshd, host_key=None)))
    line = " ".join((keys / "host.pub").read_text().split()[:2])

    assert line in result.details["hint"]
    assert probe(replace(postgres.reader, ssh=replace(sshd, host_key=line))).success


def test_a_database_that_the_ssh_server_cannot_reach_is_named(tunnelled):
    result = probe(replace(tunnelled, port=1))

    assert result.details["error_code"] in ("connection_refused", "permission_denied")
    assert "127.0.0.1:1" in result.message


def test_a_login_that_fails_behind_the_tunnel_is_the_database_s(tunnelled):
    result = probe(replace(tunnelled, password="wrong"))

    assert (result.details["error_code"], result.details["stage"]) == (
        "authentication_failed",
        "login",
    )


def test_a_query_is_cancelled_through_the_tunnel(tunnelled, server):
    sleep = "pg_sleep(9)" if server.kind == "postgresql" else "SLEEP(9)"
    with pytest.raises(SourceTimeout):
        run_preview(tunnelled, f"SELECT {sleep} /* through */", timeout_s=1)
    table, column = (
        ("pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND", "query")
        if server.kind == "postgresql"
        else ("information_schema.processlist WHERE id <> CONNECTION_ID() AND", "info")
    )
    until = time.monotonic() + 2
    while time.monotonic() < until:
        if server.run(f"SELECT count(*) FROM {table} {column} LIKE '%through%'")[0][0] == 0:
            return
        time.sleep(0.05)
    pytest.fail("the query is still running")


def say_nothing(sock: socket.socket) -> None:
    time.sleep(4)


def drip(sock: socket.socket) -> None:
    for byte in b"SSH-2.0-slow":
        sock.sendall(bytes([byte]))
        time.sleep(0.4)


def banner_only(sock: socket.socket) -> None:
    sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    time.sleep(4)


@pytest.mark.parametrize("behave", [say_nothing, drip, banner_only])
def test_a_tunnel_cannot_hold_a_probe_longer_than_its_time(postgres, sshd, listen, behave):
    with listen(behave) as port:
        started = time.monotonic()
        result = probe(replace(postgres.reader, ssh=replace(sshd, port=port)), 1.0)

    assert time.monotonic() - started < 1.4
    assert (result.details["error_code"], result.details["stage"]) == ("timeout", "ssh")


def test_something_else_in_place_of_sshd_is_recognised(postgres, mysql, sshd):
    result = probe(replace(postgres.reader, ssh=replace(sshd, port=mysql.params.port)), 2.0)

    assert result.success is False
    assert result.details["stage"] == "ssh"


def test_the_port_of_a_tunnel_knows_its_own_process():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            sock, peer = listener.accept()
            sock.close()
            assert tunnel._is_own(peer)
        script = f"import socket; s = socket.create_connection(('127.0.0.1', {port})); s.recv(1)"
        with subprocess.Popen([sys.executable, "-c", script]) as other:
            sock, peer = listener.accept()
            assert not tunnel._is_own(peer)
            sock.close()
            other.wait()


def test_no_port_stays_open_while_a_tunnel_is_kept(postgres, sshd):
    tunnelled = replace(postgres.reader, ssh=sshd)
    run_preview(tunnelled, "SELECT 1")
    child = pool._idle[tunnelled][0].child
    inodes = {str(fd.readlink()) for fd in Path(f"/proc/{child.pid}/fd").iterdir()}
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]

    assert not [row for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
