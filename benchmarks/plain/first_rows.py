"""What somebody would write by hand to see the first 100 rows of a table: timed, on request.

Runs in an environment of its own. Reads `WAY URL TABLE` from each line and answers with the
milliseconds that one run took; everything is imported by then.
"""

import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import MySQLdb
import MySQLdb.cursors
import psycopg2

ROWS = 100
_connected: dict[str, Any] = {}


def connect(url: str, **more: Any) -> Any:
    parts = urlsplit(url)
    login = {
        "host": parts.hostname, "port": parts.port, "user": parts.username,
        "password": parts.password, "database": parts.path.strip("/"),
    }  # fmt: skip
    return (psycopg2 if parts.scheme == "postgresql" else MySQLdb).connect(**login, **more)


def limited(url: str, table: str) -> Any:
    """Connect, ask for 100 rows, fetch them, close."""
    connection = connect(url)
    cursor = connection.cursor()
    cursor.execute(f"SELECT * FROM {table} LIMIT {ROWS}")  # noqa: S608
    rows = cursor.fetchall()
    connection.close()
    return rows


def streamed(url: str, table: str) -> Any:
    """Connect, open a cursor on the server over the whole table, fetch 100 rows, close."""
    if url.startswith("postgresql:"):
        connection = connect(url)
        cursor = connection.cursor("first_rows")
    else:
        connection = connect(url, cursorclass=MySQLdb.cursors.SSCursor)
        cursor = connection.cursor()
    cursor.execute(f"SELECT * FROM {table}")  # noqa: S608
    rows = cursor.fetchmany(ROWS)
    cursor.close()
    connection.close()
    return rows


def connected(url: str, table: str) -> Any:
    """Ask for 100 rows on a connection that stays open."""
    if url not in _connected:
        _connected[url] = connect(url)
    cursor = _connected[url].cursor()
    cursor.execute(f"SELECT * FROM {table} LIMIT {ROWS}")  # noqa: S608
    rows = cursor.fetchall()
    cursor.close()
    return rows


WAYS: dict[str, Callable[[str, str], Any]] = {
    way.__name__: way for way in (limited, streamed, connected)
}


def main() -> None:
    for line in sys.stdin:
        way, url, table = line.split()
        started = time.perf_counter()
        rows = WAYS[way](url, table)
        elapsed_ms = (time.perf_counter() - started) * 1000
        assert len(rows) == ROWS  # noqa: S101
        print(elapsed_ms, flush=True)


if __name__ == "__main__":
    main()
