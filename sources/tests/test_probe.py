# ruff: noqa: E501 - tables of cases, one a line
"""A probe says what is wrong with a source, and answers in time whatever the host does."""

import contextlib
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from children.places import Places
from sources import asking
from sources.contract import SourceParams
from sources.errors import SourceTimeout, SourceUnreachable, TooManyProbes
from sources.preview import list_tables, run_preview
from sources.probe import ProbeResult, probe

BUDGET_S = 5.0


def params_for(kind: str, port: int, **changes) -> SourceParams:
    return SourceParams(
        **{"kind": kind, "host": "127.0.0.1", "port": port, "database": "shop", "username": "etl",
           "password": "not-to-be-shown", **changes}
    )  # fmt: skip


def test_a_good_connection_says_who_answered(server):
    result = probe(server.reader)

    assert (result.success, result.message) == (True, "Connection successful")
    assert result.details["db_type"] == server.kind
    assert result.details["server"] in ("PostgreSQL", "MariaDB", "MySQL")
    assert result.details["version"][0].isdigit()
    assert " " not in result.details["version"]
    assert result.details["tls"] in (True, False)
    assert 0 < result.details["latency_ms"] < 1000


def test_mariadb_is_told_from_mysql(mysql):
    is_mariadb = "mariadb" in mysql.run("SELECT lower(version())")[0][0]

    assert probe(mysql.reader).details["server"] == ("MariaDB" if is_mariadb else "MySQL")


def test_an_account_that_may_write_is_warned_of(server):
    server.run("CREATE TABLE IF NOT EXISTS written (id int)")

    assert probe(server.params).details["can_write"] is True
    assert probe(server.params).details["warnings"]
    assert probe(server.reader).details["can_write"] is False
    assert probe(server.reader).details["warnings"] == []


@pytest.mark.parametrize(
    ("change", "code", "stage"),
    [
        ({"password": "wrong-password"}, "authentication_failed", "login"),
        ({"username": "nobody-here"}, "authentication_failed", "login"),
        ({"port": 1}, "connection_refused", "port"),
        ({"host": "no-such-host.invalid"}, "host_not_found", "name"),
        ({"host": ""}, "host_not_found", "name"),
        ({"host": "a" * 70 + ".invalid"}, "host_not_found", "name"),
        ({"host": "bad\0host"}, "unknown", "login"),
        ({"ssl_mode": "sometimes"}, "tls_failed", "tls"),
    ],
)
def test_each_failure_has_its_code_and_the_step_it_failed_at(server, change, code, stage):
    result = probe(replace(server.reader, **change))

    assert (result.success, result.details["error_code"]) == (False, code)
    assert result.details["stage"] == stage
    assert set(result.details) == {"db_type", "error_code", "hint", "stage"}
    assert "\n" not in result.message
    assert result.details["hint"]
    assert server.reader.password not in str(result)


def test_an_unknown_database_is_named(server):
    result = probe(replace(server.params, database="no_such_database"))

    assert result.details["error_code"] == "unknown_database"
    assert '"no_such_database"' in result.message


def test_a_database_the_account_may_not_enter_is_a_permission(postgres, mysql):
    postgres.run(f'REVOKE CONNECT ON DATABASE "{postgres.params.database}" FROM PUBLIC')
    try:
        refused = probe(postgres.reader)
    finally:
        postgres.run(f'GRANT CONNECT ON DATABASE "{postgres.params.database}" TO PUBLIC')

    assert refused.details["error_code"] == "permission_denied"
    denied = probe(replace(mysql.reader, database="mysql"))
    assert denied.details["error_code"] == "permission_denied"


def test_too_many_connections_is_told_apart(postgres, mysql):
    role = postgres.reader.username
    postgres.run(f"ALTER ROLE {role} CONNECTION LIMIT 0")
    mysql.run(f"ALTER USER {mysql.reader.username}@'%' WITH MAX_CONNECTIONS_PER_HOUR 1")
    mysql.run(f"ALTER USER {mysql.reader.username}@'localhost' WITH MAX_CONNECTIONS_PER_HOUR 1")
    try:
        assert probe(postgres.reader).details["error_code"] == "too_many_connections"
        probe(mysql.reader)
        assert probe(mysql.reader).details["error_code"] == "too_many_connections"
    finally:
        postgres.run(f"ALTER ROLE {role} CONNECTION LIMIT -1")
        mysql.run(f"ALTER USER {mysql.reader.username}@'%' WITH MAX_CONNECTIONS_PER_HOUR 0")
        mysql.run(f"ALTER USER {mysql.reader.username}@'localhost' WITH MAX_CONNECTIONS_PER_HOUR 0")
        mysql.run("FLUSH USER_RESOURCES")


def test_the_other_database_is_recognised(postgres, mysql):
    as_postgres = probe(replace(postgres.reader, host=mysql.params.host, port=mysql.params.port))
    as_mysql = probe(replace(mysql.reader, host=postgres.params.host, port=postgres.params.port))

    assert (
        as_postgres.details["error_code"] == as_mysql.details["error_code"] == "not_this_database"
    )
    assert as_postgres.message.startswith("MySQL or MariaDB answers at ")
    assert as_mysql.message.startswith("PostgreSQL answers at ")


def test_it_does_not_listen_to_the_environment(postgres, monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_read_only=nonsense")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")

    assert probe(postgres.reader).success


def test_an_ipv6_address_may_stand_in_brackets():
    result = probe(params_for("postgresql", 1, host="[::1]"))

    assert result.details["error_code"] == "connection_refused"
    assert "[::1]:1" in result.message


def test_a_process_that_is_not_ready_in_time_is_not_the_source_s_fault(server):
    result = probe(server.reader, timeout_s=0)

    assert (result.details["error_code"], result.details["stage"]) == ("timeout", "start")
    assert result.message.startswith("No process was ready in time to ask ")


# -- hosts that misbehave


def say_nothing(sock: socket.socket) -> None:
    time.sleep(8)


def drip(sock: socket.socket) -> None:
    """A byte a second, each one a plausible beginning: MySQL's greeting, or PostgreSQL's yes to TLS."""
    for byte in b"\x4a\x00\x00\x00\x0a10.11.19":
        sock.sendall(bytes([byte]))
        time.sleep(1)


def drip_a_login(sock: socket.socket) -> None:
    """Refuses TLS at once, then asks for a password so slowly that it never gets to the end."""
    sock.recv(8)
    sock.sendall(b"N")
    for byte in b"R\x00\x00\x00\x0c\x00\x00\x00\x05abcd":
        sock.sendall(bytes([byte]))
        time.sleep(1)


def hold_tls(sock: socket.socket) -> None:
    """Agrees to TLS and then keeps silent."""
    sock.recv(8)
    sock.sendall(b"S")
    time.sleep(8)


def hold_mysql_tls(sock: socket.socket) -> None:
    sock.sendall(MYSQL_GREETING)
    time.sleep(8)


def endless_greeting(sock: socket.socket) -> None:
    """Announces 16 MB and sends them slowly."""
    sock.sendall(b"\xff\xff\xff\x00\x0a")
    while True:
        sock.sendall(b"x" * 100)
        time.sleep(0.05)


# Protocol 10 with TLS on offer, as MySQL 8 greets.
_BODY = (
    b"\x0a8.0.36\0" + b"\x01\x00\x00\x00" + b"12345678\0" + b"\xff\xff" + b"\xff" + b"\x02\x00"
    + b"\xff\xdf" + b"\x15" + b"\0" * 10 + b"123456789012\0" + b"caching_sha2_password\0"
)  # fmt: skip
MYSQL_GREETING = len(_BODY).to_bytes(3, "little") + b"\0" + _BODY


def timed(params: SourceParams, timeout_s: float = BUDGET_S) -> tuple[float, ProbeResult]:
    started = time.monotonic()
    result = probe(params, timeout_s)
    return time.monotonic() - started, result


@contextlib.contextmanager
def dropping_packets():
    """A listener whose queue is full: the kernel drops further connection attempts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


def test_no_host_can_hold_a_probe_longer_than_its_time(listen, monkeypatch):
    """All at once, at the full time."""
    monkeypatch.setattr(asking, "probes", Places("probes", 50))
    hostile = (say_nothing, drip, drip_a_login, hold_tls, hold_mysql_tls, endless_greeting)
    with contextlib.ExitStack() as stack:
        ports = {each.__name__: stack.enter_context(listen(each)) for each in hostile}
        ports["dropping_packets"] = stack.enter_context(dropping_packets())
        cases = [
            (kind, name, port) for name, port in ports.items() for kind in ("postgresql", "mysql")
        ]
        executor = stack.enter_context(ThreadPoolExecutor(len(cases)))
        outcomes = list(executor.map(lambda case: timed(params_for(case[0], case[2])), cases))

    for (kind, name, _), (seconds, result) in zip(cases, outcomes, strict=True):
        assert seconds < 5.5, (kind, name, seconds)
        assert not result.success, (kind, name)
        assert result.details["error_code"] in ("timeout", "not_this_database"), (
            kind,
            name,
            result,
        )
    codes = {
        (kind, name): result.details
        for (kind, name, _), (_, result) in zip(cases, outcomes, strict=True)
    }
    for kind in ("postgresql", "mysql"):
        assert codes[kind, "say_nothing"]["error_code"] == "timeout"
        assert codes[kind, "dropping_packets"]["error_code"] == "timeout"
        assert codes[kind, "dropping_packets"]["stage"] == "port"
    assert codes["postgresql", "hold_tls"]["error_code"] == "timeout"
    assert codes["postgresql", "hold_tls"]["stage"] == "tls"
    assert codes["mysql", "hold_mysql_tls"]["stage"] == "tls"


def test_a_name_whose_look_up_hangs_ends_in_time(looked_up):
    looked_up("slow.example")
    seconds, result = timed(params_for("mysql", 3306, host="slow.example"), timeout_s=2)

    assert seconds < 3.5
    assert result.details["error_code"] == "timeout"
    assert result.details["stage"] == "name"


def test_a_name_with_several_addresses_takes_the_one_that_lives(server, looked_up):
    looked_up("several.example", "127.0.0.9", "127.0.0.8", server.params.host)

    assert probe(replace(server.reader, host="several.example")).success


def test_several_dead_addresses_share_one_time(looked_up):
    """Each address alone would use up all the time there is."""
    with dropping_packets() as port:
        looked_up("dead.example", "127.0.0.1", "127.0.0.1")
        seconds, result = timed(params_for("postgresql", port, host="dead.example"), timeout_s=2)

    assert seconds < 3.5
    assert result.details["error_code"] == "timeout"
    assert result.details["stage"] == "port"


@pytest.mark.parametrize("host", ["::1%lo", "fe80::1%nowhere", "::1%9999"])
def test_an_address_with_a_zone_is_dialled_or_refused_in_words(host):
    result = probe(params_for("postgresql", 1, host=host))

    assert result.details["error_code"] in ("connection_refused", "host_not_found")
    assert "Unknown error" not in result.message


def web_server(sock: socket.socket) -> None:
    if sock.recv(4096).startswith(b"GET"):
        sock.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")
    else:
        time.sleep(8)


def rude_web_server(sock: socket.socket) -> None:
    sock.recv(4096)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def ssh_server(sock: socket.socket) -> None:
    sock.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    time.sleep(2)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    ("behave", "found"),
    [
        (web_server, "A web server"),
        (rude_web_server, "A web server"),
        (ssh_server, "An SSH server"),
    ],
)
def test_something_else_on_the_port_is_recognised(listen, kind, behave, found):
    with listen(behave) as port:
        result = probe(params_for(kind, port))

    assert result.details["error_code"] == "not_this_database"
    assert result.message.startswith(f"{found} answers at 127.0.0.1:{port}, not ")


def garbage(sock: socket.socket) -> None:
    sock.sendall(os.urandom(4096))
    time.sleep(0.5)


def hang_up(sock: socket.socket) -> None:
    sock.recv(1)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize("behave", [garbage, hang_up])
def test_nonsense_is_a_result_and_not_an_exception(listen, kind, behave):
    with listen(behave) as port:
        result = probe(params_for(kind, port), 2.0)

    assert result.success is False
    assert "Traceback" not in result.message


def test_a_server_cannot_ask_for_the_password_in_clear_text(listen):
    heard: list[bytes] = []

    def ask_clearly(sock: socket.socket) -> None:
        sock.sendall(MYSQL_GREETING.replace(b"\xff\xff\xff\x02\x00", b"\xff\xf7\xff\x02\x00"))
        heard.append(sock.recv(4096))
        switch = b"\xfemysql_clear_password\0\0"
        sock.sendall(len(switch).to_bytes(3, "little") + b"\x02" + switch)
        heard.append(sock.recv(4096))

    with listen(ask_clearly) as port:
        result = probe(params_for("mysql", port, ssl_mode="prefer"), 1.0)

    assert result.success is False
    assert b"not-to-be-shown" not in b"".join(heard)


def test_postgresql_cannot_ask_for_it_either(listen):
    heard: list[bytes] = []

    def ask_clearly(sock: socket.socket) -> None:
        heard.append(sock.recv(8))
        sock.sendall(b"N")
        heard.append(sock.recv(4096))
        sock.sendall(b"R\0\0\0\x08\0\0\0\x03")
        heard.append(sock.recv(4096))

    with listen(ask_clearly) as port:
        result = probe(params_for("postgresql", port, ssl_mode="prefer"), 1.0)

    assert result.success is False
    assert b"not-to-be-shown" not in b"".join(heard)


def hash_for_ever(sock: socket.socket) -> None:
    """A PostgreSQL that wants the password hashed for an hour, in one call that nothing stops."""

    def message(content: bytes) -> bytes:
        return b"R" + (len(content) + 4).to_bytes(4, "big") + content

    sock.recv(8)
    sock.sendall(b"N")
    sock.recv(4096)
    sock.sendall(message(b"\0\0\0\x0aSCRAM-SHA-256\0\0"))
    nonce = sock.recv(4096).partition(b"r=")[2]
    sock.sendall(message(b"\0\0\0\x0br=" + nonce + b"abc,s=QUJD,i=2000000000"))
    time.sleep(3)


def test_no_server_has_us_hash_the_password_for_ever(listen):
    with listen(hash_for_ever) as port:
        seconds, result = timed(params_for("postgresql", port), 2.5)

    assert seconds < 3
    assert not result.success


@pytest.mark.parametrize(
    "password", ["pässwörd", "Ⅸ\u00ad\uff41\u00a0b", "\u0627\u0031", "ends\u200b"]
)
def test_a_password_beyond_ascii_is_hashed_as_the_server_does(postgres, password):
    name = postgres.reader.username
    postgres.run(f"ALTER ROLE {name} PASSWORD '{password}'")
    try:
        assert probe(replace(postgres.reader, password=password)).success
    finally:
        postgres.run(
            "ALTER ROLE {} PASSWORD '{}'".format(name, postgres.reader.password.replace("'", "''"))
        )


def begin_to_copy(sock: socket.socket) -> None:
    """A PostgreSQL that lets anyone in and answers each question with the beginning of a COPY."""
    if sock.recv(8)[4:] == b"\x04\xd2\x16\x2f":
        sock.sendall(b"N")
    sock.recv(4096)
    sock.sendall(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I")
    while sock.recv(65536):
        sock.sendall(b"1\0\0\0\x04" + b"2\0\0\0\x04" + b"G\0\0\0\x07\0\0\0")


def test_a_copy_that_nobody_asked_for_is_a_refusal(listen):
    with listen(begin_to_copy) as port:
        seconds, result = timed(params_for("postgresql", port))

    assert seconds < 5.5
    assert not result.success


def refusing_postgres(state: str, words: str):
    """A PostgreSQL that refuses every login in a language of its own."""
    fields = f"SFATAL\0VFATAL\0C{state}\0M{words}\0\0".encode()

    def behave(sock: socket.socket) -> None:
        sock.recv(8)
        sock.sendall(b"N")
        sock.recv(4096)
        sock.sendall(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)

    return behave


@pytest.mark.parametrize(
    ("state", "words", "error_code", "stage"),
    [
        ("28P01", "Passwort-Authentifizierung für »x« fehlgeschlagen", "authentication_failed",
         "login"),
        ("28000", "Rolle »x« existiert nicht", "authentication_failed", "login"),
        ("28000", "kein pg_hba.conf-Eintrag für Host »127.0.0.1«", "permission_denied", "login"),
        ("3D000", "la base de données « shop » n'existe pas", "unknown_database", "database"),
        ("42501", "droit refusé pour la base de données shop", "permission_denied", "database"),
        ("53300", "лишком много клиентов", "too_many_connections", "login"),
    ],
)  # fmt: skip
def test_a_refused_login_is_understood_in_any_language(listen, state, words, error_code, stage):
    with listen(refusing_postgres(state, words)) as port:
        result = probe(params_for("postgresql", port), 2.0)

    assert (result.details["error_code"], result.details["stage"]) == (error_code, stage)
    assert words in result.message


def answer_ok(sock: socket.socket) -> None:
    """A MySQL that lets anyone in, and to whom every question is a command that went well."""
    ok = b"\x07\0\0%b\0\0\0\x0a\0\0\0"  # and, by its flags, more is to come
    sock.sendall(MYSQL_GREETING.replace(b"\xff\xff\xff\x02\x00", b"\xff\xf7\xff\x02\x00"))
    sock.recv(4096)
    sock.sendall(ok.replace(b"%b", b"\x02"))
    while sock.recv(4096):
        sock.sendall(ok.replace(b"%b", b"\x01"))


def test_answers_that_make_no_sense_are_a_refusal(listen):
    with listen(answer_ok) as port:
        params = params_for("mysql", port)
        for ask in (
            lambda: run_preview(params, "SELECT 1", timeout_s=1),
            lambda: list_tables(params, 1),
        ):
            with pytest.raises((SourceUnreachable, SourceTimeout)):
                ask()
        assert probe(params, 1.0).details["error_code"] in ("unknown", "timeout")


def test_probes_are_bounded_and_the_next_one_is_turned_away(listen, monkeypatch):
    monkeypatch.setattr(asking, "probes", Places("probes", 3))
    with listen(say_nothing) as port, ThreadPoolExecutor(3) as executor:
        running = [executor.submit(probe, params_for("mysql", port), 0.8) for _ in range(3)]
        time.sleep(0.2)
        with pytest.raises(TooManyProbes) as refused:
            probe(params_for("mysql", port))
        assert all(not each.result().success for each in running)
        assert probe(params_for("mysql", port), 0.1).details["error_code"] == "timeout"

    assert (
        refused.value.message
        == "3 connection tests are running already; try again in a few seconds."
    )


def flood(sock: socket.socket) -> None:
    """Lets anyone in and then never stops telling about its settings."""
    sock.recv(8)
    sock.sendall(b"N")
    sock.recv(4096)
    sock.sendall(b"R\0\0\0\x08\0\0\0\0")
    setting = b"x" * 5000 + b"\0" + b"y" * 5000 + b"\0"
    while True:
        sock.sendall(b"S" + (len(setting) + 4).to_bytes(4, "big") + setting)


def test_a_server_that_floods_the_login_is_left(listen):
    with listen(flood) as port:
        seconds, result = timed(params_for("postgresql", port))

    assert seconds < 5.5
    assert result.details["error_code"] in ("not_this_database", "timeout")


def refuse_at_length(sock: socket.socket) -> None:
    """Begins a refusal of half a gigabyte."""
    sock.recv(8)
    sock.sendall(b"N")
    sock.recv(4096)
    sock.sendall(b"E" + (2**29).to_bytes(4, "big") + b"SFATAL\0" + b"x" * 100_000)


def test_a_refusal_without_words_is_told_in_ours(listen):
    with listen(refuse_at_length) as port:
        result = probe(params_for("postgresql", port), 2.0)

    assert result.message == f"127.0.0.1:{port} ended the connection: it is closed."
