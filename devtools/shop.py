"""The demo's source: a PostgreSQL with a small shop, and an account that may only read it."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from psycopg2 import extensions, sql

from devtools.accounts import remove_folder
from devtools.postgres import postgres, session
from devtools.processes import LOOPBACK, Child, free_port, new_password, write_private

DATABASE = "shop"
READER = "shop_reader"
PREFERRED_PORT = 54320


@dataclass(frozen=True)
class Access:
    """What a later run must know to open the same data again."""

    port: int
    superuser_password: str
    reader_password: str


@dataclass(frozen=True)
class Shop:
    child: Child
    url: str  # the reader's
    password: str  # of the same


@contextlib.contextmanager
def shop(folder: Path) -> Iterator[Shop]:
    """Run the demo's PostgreSQL with its data under `folder` until the block ends.

    Raises LauncherError.
    """
    access = _access(folder)
    with postgres(folder / "postgres", access.port, access.superuser_password) as server:
        _ensure_database(server.url, access.reader_password)
        address = f"{READER}:{access.reader_password}@{LOOPBACK}:{access.port}"
        url = f"postgresql://{address}/{DATABASE}"
        yield Shop(server.child, url, access.reader_password)


def _access(folder: Path) -> Access:
    """Return the passwords of last time, and its port while it is free."""
    file = folder / "postgres.json"
    if file.exists():
        last = Access(**json.loads(file.read_text()))
        access = Access(free_port(last.port), last.superuser_password, last.reader_password)
    else:
        # Data whose password nobody knows any more are of no use.
        remove_folder(folder / "postgres")
        access = Access(free_port(PREFERRED_PORT), new_password(), new_password())
    write_private(file, json.dumps(asdict(access)))
    return access


def _ensure_database(superuser_url: str, reader_password: str) -> None:
    with session(superuser_url) as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if cursor.fetchone():
            return
        # Filled under another name: a run that is broken off leaves no half of a shop.
        draft = sql.Identifier(f"{DATABASE}_draft")
        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(draft))
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(draft))
        _fill(superuser_url.rpartition("/")[0] + f"/{DATABASE}_draft", reader_password)
        cursor.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(draft, sql.Identifier(DATABASE))
        )


def _fill(url: str, reader_password: str) -> None:
    tables = Path(__file__).with_name("shop.sql").read_text()
    with session(url) as cursor:
        cursor.execute(tables)
        _let_read(cursor, reader_password)


def _let_read(cursor: extensions.cursor, password: str) -> None:
    """Make the account a pipeline's source should have: it logs in, reads, and nothing more."""
    reader, database = sql.Identifier(READER), sql.Identifier(cursor.connection.info.dbname)
    for statement in (
        "DROP ROLE IF EXISTS {reader}",
        "CREATE ROLE {reader} LOGIN PASSWORD {password} NOSUPERUSER NOCREATEDB NOCREATEROLE",
        "ALTER ROLE {reader} SET default_transaction_read_only = on",
        "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {database} TO {reader}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}",
    ):
        cursor.execute(
            sql.SQL(statement).format(
                reader=reader, database=database, password=sql.Literal(password)
            )
        )
