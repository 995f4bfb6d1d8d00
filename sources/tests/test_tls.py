# ruff: noqa: E501 - tables of cases, one a line
"""TLS with servers whose certificates are made for the test: each mode does what it promises."""

import contextlib
import subprocess
from dataclasses import replace

import psycopg2
import pymysql
import pytest

from sources.asking import pool
from sources.contract import SourceParams
from sources.preview import run_preview
from sources.probe import probe

from .certificates import Authority
from .servers import find_program, free_port, give, open_to_all, running, unprivileged

PASSWORD = "tls-password"


@pytest.fixture(scope="module")
def authority():
    return Authority("Test authority")


@pytest.fixture(scope="module")
def stranger():
    return Authority("Another authority")


@pytest.fixture(scope="module")
def client(authority):
    return authority.sign("certified")


@pytest.fixture(scope="module")
def postgres_tls(tmp_path_factory, authority):
    home = tmp_path_factory.mktemp("pg")
    open_to_all(home)
    user = unprivileged("postgres")
    (home / "password").write_text(PASSWORD)
    give(home, user)
    subprocess.run(
        [find_program("initdb"), "-D", home / "data", "-U", "etl", "-A", "scram-sha-256", "-E", "UTF8",
         "--no-sync", f"--pwfile={home / 'password'}"],
        check=True, capture_output=True, user=user,
    )  # fmt: skip
    write_certificates(home / "data", authority)
    (home / "data" / "pg_hba.conf").write_text(
        "hostssl all certified all cert\nhost all readable all password\nhostssl all all all scram-sha-256\n"
        "hostnossl all plain all scram-sha-256\n"
    )
    give(home / "data", user)
    for name in ("server.key",):
        (home / "data" / name).chmod(0o600)
    port = free_port()
    command = [
        find_program("postgres"), "-D", str(home / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", "",
        "-c", "ssl=on", "-c", "ssl_ca_file=ca.crt", "-c", "fsync=off",
    ]  # fmt: skip
    with running(command, port, home / "log", user):
        with contextlib.closing(connect_postgres(port)) as root:
            root.autocommit = True
            cursor = root.cursor()
            cursor.execute("CREATE ROLE certified LOGIN")
            for name in ("plain", "readable"):
                cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        yield SourceParams("postgresql", "127.0.0.1", port, "postgres", "etl", PASSWORD)
        pool.close_idle()


def connect_postgres(port: int) -> psycopg2.extensions.connection:
    for attempt in range(50):
        try:
            return psycopg2.connect(
                host="127.0.0.1",
                port=port,
                user="etl",
                password=PASSWORD,
                dbname="postgres",
            )
        except psycopg2.OperationalError:
            if attempt == 49:
                raise
    raise AssertionError


def write_certificates(folder, authority) -> None:
    server = authority.sign("database", "127.0.0.1", "localhost")
    (folder / "server.crt").write_text(server.cert)
    (folder / "server.key").write_text(server.key)
    (folder / "ca.crt").write_text(authority.pem)


@pytest.fixture(scope="module")
def mysql_tls(tmp_path_factory, authority):
    home = tmp_path_factory.mktemp("my")
    open_to_all(home)
    user = unprivileged("mysql")
    give(home, user)
    subprocess.run(
        [find_program("mariadb-install-db"), "--no-defaults", f"--datadir={home / 'data'}",
         "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True, capture_output=True, user=user,
    )  # fmt: skip
    write_certificates(home / "data", authority)
    give(home / "data", user)
    port = free_port()
    command = [
        find_program("mariadbd"), "--no-defaults", f"--datadir={home / 'data'}", f"--port={port}",
        "--bind-address=127.0.0.1", f"--socket={home / 'data' / 's.sock'}",
        f"--pid-file={home / 'data' / 'pid'}", f"--ssl-ca={home / 'data' / 'ca.crt'}",
        f"--ssl-cert={home / 'data' / 'server.crt'}", f"--ssl-key={home / 'data' / 'server.key'}",
    ]  # fmt: skip
    with running(command, port, home / "log", user):
        root = pymysql.connect(unix_socket=str(home / "data" / "s.sock"), user="root")
        with root.cursor() as cursor:
            for name, require in (("etl", "NONE"), ("certified", "X509"), ("secure", "SSL")):
                cursor.execute(
                    f"CREATE USER {name}@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE {require}"
                )
                cursor.execute(f"GRANT SELECT ON *.* TO {name}@'%'")
        root.close()
        yield SourceParams("mysql", "127.0.0.1", port, "mysql", "etl", PASSWORD)
        pool.close_idle()


@pytest.fixture(params=["postgresql", "mysql"])
def source(request):
    return request.getfixturevalue("postgres_tls" if request.param == "postgresql" else "mysql_tls")


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
def test_each_mode_but_disable_encrypts(source, authority, mode):
    result = probe(replace(source, ssl_mode=mode, ssl_ca=authority.pem))

    assert result.success, result
    assert result.details["tls"] is True


def test_disable_does_not_encrypt(mysql_tls, postgres_tls):
    plain = probe(replace(mysql_tls, ssl_mode="disable"))
    assert (plain.success, plain.details["tls"]) == (True, False)

    plain = probe(replace(postgres_tls, ssl_mode="disable", username="plain"))
    assert (plain.success, plain.details["tls"]) == (True, False)


def test_prefer_and_require_ask_for_no_authority(source):
    assert probe(replace(source, ssl_mode="prefer")).details["tls"] is True
    assert probe(replace(source, ssl_mode="require")).details["tls"] is True


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_certificate_of_another_authority_is_refused(source, stranger, mode):
    result = probe(replace(source, ssl_mode=mode, ssl_ca=stranger.pem))

    assert result.details["error_code"] == "tls_failed"
    assert result.details["stage"] == "tls"


def test_a_certificate_of_nobody_known_is_refused(source):
    assert probe(replace(source, ssl_mode="verify-full")).details["error_code"] == "tls_failed"


def test_only_verify_full_asks_for_the_host_s_name(source, authority, looked_up):
    """The resolver knows the name db.example, the certificate does not."""
    looked_up("db.example", "127.0.0.1")
    elsewhere = replace(source, host="db.example", ssl_ca=authority.pem)

    accepted = probe(replace(elsewhere, ssl_mode="verify-ca"))
    refused = probe(replace(elsewhere, ssl_mode="verify-full"))

    assert accepted.success, accepted
    assert refused.details["error_code"] == "tls_failed"


def test_an_account_that_needs_a_client_certificate_gets_in_with_it(source, authority, client):
    certified = replace(source, username="certified", ssl_mode="verify-full", ssl_ca=authority.pem)
    without = probe(certified)
    with_it = probe(replace(certified, ssl_cert=client.cert, ssl_key=client.key))

    assert without.success is False
    assert with_it.success, with_it
    assert run_preview(
        replace(certified, ssl_cert=client.cert, ssl_key=client.key), "SELECT 1"
    ).rows == [[1]]


def test_an_account_that_needs_tls_is_refused_without(mysql_tls, postgres_tls):
    result = probe(replace(mysql_tls, username="secure", ssl_mode="disable"))
    assert result.details["error_code"] == "authentication_failed"

    result = probe(replace(postgres_tls, ssl_mode="disable"))
    assert result.details["error_code"] == "permission_denied"
    assert "TLS" in result.details["hint"]


@pytest.mark.parametrize(
    "broken",
    [
        {"ssl_ca": "not a certificate"},
        {"ssl_ca": ""},
        {"ssl_cert": "not a certificate", "ssl_key": "not a key"},
        {"ssl_cert": "only a certificate"},
        {"ssl_key": "only a key"},
    ],
)
def test_broken_certificates_are_a_tls_failure(source, broken):
    result = probe(replace(source, ssl_mode="verify-full", **broken))

    assert result.details["error_code"] == "tls_failed"
    assert "only a key" not in result.message


def test_a_key_with_a_passphrase_does_not_wait_for_one(source, authority, client):
    locked = (
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAh\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    result = probe(replace(source, ssl_mode="require", ssl_cert=client.cert, ssl_key=locked))

    assert result.details["error_code"] == "tls_failed"


def test_a_cancelled_query_ends_over_tls_too(source):
    from sources.errors import SourceTimeout

    sleep = "SELECT pg_sleep(9)" if source.kind == "postgresql" else "SELECT SLEEP(9)"
    with pytest.raises(SourceTimeout):
        run_preview(replace(source, ssl_mode="require"), sleep, timeout_s=0.5)


def test_a_long_answer_arrives_over_tls(source):
    sql = "SELECT repeat('x', 50000)" + ", repeat('y', 50000)" * 10
    rows = run_preview(replace(source, ssl_mode="require"), sql).rows

    assert [len(cell) for cell in rows[0]] == [50_000] * 11


def test_keys_are_not_shown(source, client):
    params = replace(source, ssl_cert=client.cert, ssl_key=client.key)

    assert PASSWORD not in repr(params)
    assert client.key not in repr(params)


def test_a_password_is_only_sent_as_it_is_inside_tls(postgres_tls):
    """As LDAP and the tokens of cloud databases need it."""
    readable = replace(postgres_tls, username="readable")

    refused = probe(replace(readable, ssl_mode="disable"))
    assert refused.details["error_code"] == "authentication_failed"
    assert "asks for the password in clear text, on a connection without TLS" in refused.message
    for mode in ("prefer", "require"):
        assert probe(replace(readable, ssl_mode=mode)).details["tls"] is True
