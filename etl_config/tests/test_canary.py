"""A canary among the secrets is looked for wherever something is said, and sent nowhere."""

import io
import logging
import socket
from contextlib import suppress

import pytest
from django.core.management import call_command

from common.admin.error_pages import server_error
from common.tests.client import connection_body
from connections.models import Connection

CANARY = "canary-Zk3vq-password"
KEY_CANARY = "canary-Zk3vq-key"
TUNNEL = {
    "ssh_host": "127.0.0.1",
    "ssh_username": "etl",
    "ssh_host_key": "ssh-ed25519 AAAA",
    "ssh_password": CANARY,
}


@pytest.fixture
def listener():
    """A port of this machine, and what has arrived there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)

        def arrived():
            heard = b""
            with suppress(TimeoutError):
                while True:
                    sock = server.accept()[0]
                    sock.settimeout(0.1)
                    with sock, suppress(OSError):
                        heard += b"somebody;" + sock.recv(4096)
            return heard

        yield server.getsockname()[1], arrived


@pytest.fixture
def closed():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def made(api, port, **more):
    body = connection_body(host="127.0.0.1", port=port, password=CANARY, **more)
    return api.create("connections", body)


MOVES = [
    lambda port: {"port": port},
    lambda port: {"port": port, "password": ""},
    lambda port: {"port": port, "password": None},
    lambda port: {"port": port, "secrets_from": None},
    lambda port: {"host": "localhost", "port": port},
    lambda port: {"db_type": "mysql", "port": port},
    lambda port: {"port": port, "ssl_mode": "disable"},
    lambda port: {"ssh_host": "127.0.0.1", "ssh_port": port, "ssh_username": "me"},
    lambda port: TUNNEL | {"ssh_port": port},
]


@pytest.mark.parametrize("move", MOVES)
def test_no_move_has_the_stored_secret_sent(api, listener, closed, move):
    port, arrived = listener
    path = f"connections/{made(api, closed)['id']}"

    assert api.patch(path, move(port)).status == 400
    api.post(f"{path}/test", move(port))
    api.post(f"{path}/test", {})
    api.get(f"{path}/tables")
    query = {"source_connection_id": path.partition("/")[2], "source_query": "SELECT 1"}
    api.post("mappings/preview", query | move(port))

    assert arrived() == b""


def test_a_file_sends_neither_a_stored_secret_nor_the_services_own(
    api, listener, closed, monkeypatch, tmp_path
):
    port, arrived = listener
    record = made(api, closed)
    monkeypatch.setenv("ENCRYPTION_KEY", KEY_CANARY)
    out = tmp_path / "out.yaml"
    with out.open("w") as file:
        call_command("export_config", stdout=file)
    text = out.read_text().replace(str(closed), str(port))
    for password in ("${ETL_SECRET_NONE}", "${ENCRYPTION_KEY}", "${SECRET_KEY}", "${HOME}"):
        out.write_text("".join(
            f"    password: {password}\n" if "password:" in line else line
            for line in text.splitlines(keepends=True)
        ))  # fmt: skip
        with pytest.raises(Exception, match=r"wrong in"):
            call_command("import_config", str(out), stdout=io.StringIO())
    assert Connection.objects.get(pk=record["id"]).port == closed
    with suppress(SystemExit, Exception):
        call_command("check_connections", stdout=io.StringIO())
    assert arrived() == b""


def test_another_sites_page_has_no_source_asked(api, listener):
    port, arrived = listener
    path = f"connections/{made(api, port)['id']}"
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        answers = [api.get(f"{path}/tables", **headers)]
        if "Origin" in headers:
            answers.append(api.post(f"{path}/test", **headers))
        assert [answer.status for answer in answers] == [403] * len(answers)
    assert arrived() == b""


def test_no_answer_page_log_export_entry_or_metric_holds_a_secret(
    api, operator, closed, caplog, capfd
):
    caplog.set_level(logging.DEBUG)
    certificate = {"ssl_cert": "-----BEGIN CERTIFICATE-----", "ssl_key": KEY_CANARY}
    record = made(api, closed, **certificate, **TUNNEL)
    path = f"connections/{record['id']}"
    token = Connection.objects.get(pk=record["id"]).password.token
    said = [str(record)]
    said += [
        api.get(one).body.decode()
        for one in ("connections", path, "audit", "/metrics", "/health", f"{path}/tables")
    ]
    said += [
        api.patch(path, change).body.decode()
        for change in (
            {"port": 70_000, "password": CANARY},
            {"nonsense": 1, "password": CANARY},
            {"username": "new", "password": CANARY},
        )
    ]
    said.append(api.post(f"{path}/test", {}).body.decode())
    said.append(api.post("connections/test", {"password": CANARY}).body.decode())
    said += [
        operator.html(f"connections_connection_{page}", *which)
        for page, which in (
            ("changelist", ()),
            ("change", (record["id"],)),
            ("history", (record["id"],)),
        )
    ]
    out = io.StringIO()
    call_command("export_config", stdout=out)
    call_command("dumpdata", "connections", stdout=out)
    said += [out.getvalue(), caplog.text, "".join(capfd.readouterr())]
    said.append(repr(Connection.objects.get(pk=record["id"]).params()))

    for secret in (CANARY, KEY_CANARY, token):
        assert not [text for text in said if secret in text]


def test_a_crash_tells_no_secret(api, monkeypatch, caplog, rf):
    def crash(self):
        raise RuntimeError(f"something with {CANARY}")

    record = made(api, 1)
    monkeypatch.setattr(Connection, "params", crash)
    answer = api.post(f"connections/{record['id']}/test", {})
    assert (answer.status, answer.json()["code"]) == (500, "internal_error")
    assert CANARY not in answer.body.decode()
    assert CANARY not in server_error(rf.get("/")).content.decode()
