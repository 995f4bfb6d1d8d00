"""mysqlclient reads the same values as PyMySQL, and gives no more away."""

from contextlib import ExitStack
from dataclasses import replace
from itertools import chain

import pytest

from sources import values
from sources.clock import Clock
from sources.errors import SourceUnreachable
from sources.mysql import streaming
from sources.mysql.values import reader
from sources.serving import DRIVERS

from .test_hostile import PASSWORD, Rogue, packet
from .test_probe import MYSQL_GREETING, params_for
from .test_tls import authority, mysql_tls, stranger  # noqa: F401
from .test_values import MYSQL, mysql_kinds  # noqa: F401


def streamed(params, sql: str) -> list:
    with ExitStack() as stack:
        connection = streaming.connect(params, stack)
        connection.query(sql.encode())
        result = connection.use_result()
        return list(chain.from_iterable(iter(lambda: result.fetch_row(1000), ())))


def test_every_value_is_what_it_is_in_a_preview(mysql_kinds):  # noqa: F811
    sql = "SELECT " + ", ".join(row[0] for row in MYSQL) + " FROM kinds"
    session = DRIVERS["mysql"].open(mysql_kinds.reader, Clock(5))
    readers = [reader(field)[0] for field in session.fields(sql, 5)[1]]
    session.close()
    rows = [(row, 0) for row in streamed(mysql_kinds.reader, sql)]

    assert list(values.read_rows(rows, readers)) == [([row[1] for row in MYSQL], 0)]


def test_many_rows_come_through(mysql):
    rows = streamed(mysql.reader, "SELECT seq, repeat('x', 100) FROM seq_1_to_50000")

    assert len(rows) == 50_000
    assert rows[-1] == (b"50000", b"x" * 100)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO many VALUES (1)",
        "SELECT 1; SELECT 2",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t",
    ],
)
def test_it_only_reads_and_one_statement_at_a_time(mysql, sql):
    with pytest.raises(streaming.MySQLdb.Error):
        streamed(mysql.params, sql)


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_it_verifies_the_certificate(mysql_tls, authority, stranger, mode):  # noqa: F811
    good = replace(mysql_tls, ssl_mode=mode, ssl_ca=authority.pem)
    assert streamed(good, "SHOW SESSION STATUS LIKE 'Ssl_cipher'")[0][1]

    for bad in (replace(good, ssl_ca=stranger.pem), replace(good, ssl_ca=None)):
        with pytest.raises(SourceUnreachable) as refused:
            streamed(bad, "SELECT 1")
        assert refused.value.error_code == "tls_failed"


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_it_does_not_go_on_without_tls(mysql, mode, authority):  # noqa: F811
    with pytest.raises(SourceUnreachable):
        streamed(replace(mysql.reader, ssl_mode=mode, ssl_ca=authority.pem), "SELECT 1")


def test_it_serves_what_it_can_be_trusted_with(mysql):
    assert streaming.serves(mysql.reader)
    assert not streaming.serves(replace(mysql.reader, ssl_mode="require"))


@pytest.mark.parametrize("method", [b"caching_sha2_password", b"sha256_password"])
def test_it_takes_no_key_from_a_server_without_tls(listen, method):
    rogue = Rogue(method)
    with listen(rogue) as port, pytest.raises(SourceUnreachable):
        streamed(params_for("mysql", port, ssl_mode="disable"), "SELECT 1")

    assert PASSWORD.encode() not in rogue.learned()
    nonce = b"12345678123456789012"
    assert (
        bytes(a ^ b for a, b in zip(PASSWORD.encode(), nonce, strict=False)) not in rogue.learned()
    )


@pytest.mark.parametrize("method", [b"mysql_clear_password", b"dialog", b"sha256_password"])
def test_it_gives_no_password_in_clear(listen, method):
    heard = []

    def ask(sock) -> None:
        sock.settimeout(2)
        sock.sendall(MYSQL_GREETING.replace(b"\xff\xff\xff\x02\x00", b"\xff\xf7\xff\x02\x00"))
        heard.append(sock.recv(4096))
        sock.sendall(packet(2, b"\xfe" + method + b"\0" + b"x" * 20 + b"\0"))
        heard.append(sock.recv(4096))

    with listen(ask) as port, pytest.raises(SourceUnreachable):
        streamed(params_for("mysql", port, ssl_mode="prefer"), "SELECT 1")
    assert PASSWORD.encode() not in b"".join(heard)
