"""Throwaway databases on the two real servers that the launcher names, and odd listeners."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import psycopg2
import pymysql
import pytest
from psycopg2 import extensions, sql

from children.host import Host
from sources import asking
from sources.contract import SourceParams
from sources.kinds import KINDS

PASSWORD = "s3cr3t-pa'ss\\word %x"


@dataclass(frozen=True)
class Server:
    """A real server with a database of our own; `run` executes as administrator."""

    params: SourceParams  # the administrator's
    reader: SourceParams  # an account that may only read
    run: Callable[..., list[tuple]]

    @property
    def kind(self) -> str:
        return self.params.kind


def _address(variable: str, kind: str) -> SourceParams:
    url = urlsplit(os.environ.get(variable) or pytest.fail(f"{variable} is not set", pytrace=False))
    return SourceParams(
        kind=kind,
        host=url.hostname or "127.0.0.1",
        port=url.port or 0,
        database=url.path.lstrip("/"),
        username=unquote(url.username or ""),
        password=unquote(url.password or ""),
    )


def _with(params: SourceParams, **changes: str) -> SourceParams:
    return SourceParams(**{**vars(params), **changes})


def _runner(conn: extensions.connection) -> Callable[..., list[tuple]]:
    conn.autocommit = True

    def run(statement: str | sql.Composable) -> list[tuple]:
        with conn.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    admin = _address("TEST_POSTGRES_URL", "postgresql")
    name = f"etl_test_{secrets.token_hex(4)}"
    login = {
        "host": admin.host, "port": admin.port, "user": admin.username, "password": admin.password,
    }  # fmt: skip
    root = psycopg2.connect(**login, dbname=admin.database)
    run_as_root = _runner(root)
    run_as_root(f"CREATE DATABASE {name}")
    run_as_root(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
            sql.Identifier(name), sql.Literal(PASSWORD)
        )
    )
    own = psycopg2.connect(**login, dbname=name)
    run = _runner(own)
    run(f"CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO {name}")
    run(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {name}")
    params = _with(admin, database=name)
    yield Server(params, _with(params, username=name, password=PASSWORD), run)
    asking.pool.close_idle()
    own.close()
    run_as_root(f"DROP DATABASE {name} WITH (FORCE)")
    run_as_root(f"DROP ROLE {name}")
    root.close()


@pytest.fixture(scope="session")
def mysql() -> Iterator[Server]:
    admin = _address("TEST_MYSQL_URL", "mysql")
    name = f"etl_test_{secrets.token_hex(4)}"
    root = pymysql.connect(
        host=admin.host,
        port=admin.port,
        user=admin.username,
        password=admin.password,
        autocommit=True,
    )

    def run(sql: str) -> list[tuple]:
        with root.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    run(f"USE {name}")
    run(f"CREATE USER {name}@'%' IDENTIFIED BY {root.escape(PASSWORD)}")
    run(f"CREATE USER {name}@'localhost' IDENTIFIED BY {root.escape(PASSWORD)}")
    for host in ("%", "localhost"):
        run(f"GRANT SELECT ON {name}.* TO {name}@'{host}'")
    params = _with(admin, database=name)
    yield Server(params, _with(params, username=name, password=PASSWORD), run)
    asking.pool.close_idle()
    run(f"DROP DATABASE {name}")
    run(f"DROP USER {name}@'%', {name}@'localhost'")
    root.close()


# A new kind of source joins the contract's tests with a fixture and a row here.
SERVERS = {"postgresql": "postgres", "mysql": "mysql"}


@pytest.fixture(params=sorted(KINDS))
def server(request: pytest.FixtureRequest) -> Server:
    """A server of each kind: what is tested with it is the contract of every driver."""
    return request.getfixturevalue(SERVERS[request.param])


@pytest.fixture(autouse=True)
def _no_source_is_full() -> Iterator[None]:
    """Forget that a source was full: for a minute nothing would be kept open there."""
    yield
    asking.marks.forget()


@contextmanager
def listening(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen on a free port of 127.0.0.1 and let `behave` do as it likes with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                with suppress(OSError):
                    sock, _ = listener.accept()
                    threading.Thread(target=_quietly, args=(behave, sock), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        stopped.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _quietly(behave: Callable[[socket.socket], None], sock: socket.socket) -> None:
    with sock, suppress(OSError):
        behave(sock)


@pytest.fixture
def listen() -> Callable:
    return listening


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """Have names looked up, in the children of this test, as it says: a name and its addresses."""
    names: list[str] = []
    hosts: list[Host] = []

    def make(name: str, *addresses: str) -> None:
        names.append(f"{name}={','.join(addresses)}")
        made = Host([asking.SERVING, "sources.tests.names"], {"TEST_NAMES": " ".join(names)})
        made.warm()  # which is not what the tests have little time for
        hosts.append(made)
        monkeypatch.setattr(asking, "host", made)
        monkeypatch.setattr(asking.pool, "host", made)

    yield make
    asking.pool.close_idle()
    for made in hosts:
        made.close()
