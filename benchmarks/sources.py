"""`make bench-sources`: the preview beside plain psycopg2 and mysqlclient scripts.

On servers of its own, a table of 1,000 and one of 5,000,000 rows in each. All take turns, so that
what else the machine does weighs on all; the medians are compared. Fails where a warm preview takes
more than 1.3 times as long as the quicker of the scripts that connect, run and fetch 100 rows.
"""

import argparse
import contextlib
import itertools
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pymysql

from benchmarks.load import Answer, Client, request
from benchmarks.report import table
from benchmarks.services import install
from devtools.console import LauncherError, say
from devtools.packages import Need, ensure_programs
from devtools.processes import launch
from devtools.servers import NAMES, servers
from devtools.service import service
from sources.contract import SourceParams
from sources.preview import run_preview

GOAL = 1.3
ROWS = 100
TABLES = {"small": 1_000, "big": 5_000_000}
PLAIN = Path(__file__).with_name("plain")
NEEDS = [
    Need("cc", "gcc"),
    Need("pkg-config", "pkg-config"),
    Need("mariadb_config", "libmariadb-dev"),
]
FILL = {
    "postgresql": "CREATE TABLE {table} AS SELECT g AS id, 'name ' || g AS name,"
    " g * 1.5 AS amount, now() AS at FROM generate_series(1, {rows}) g",
    "mysql": "CREATE TABLE {table} AS SELECT seq AS id, concat('name ', seq) AS name,"
    " seq * 1.5 AS amount, now(3) AS at FROM seq_1_to_{rows}",
}

Timed = Callable[[], float]
"""Does one run and returns its milliseconds."""


@dataclass(frozen=True)
class Source:
    """A database, and how the service over HTTP knows it."""

    kind: str
    url: str
    connection_id: str

    @property
    def params(self) -> SourceParams:
        parts = urlsplit(self.url)
        return SourceParams(
            kind=self.kind,
            host=parts.hostname or "",
            port=parts.port or 0,
            database=parts.path.strip("/"),
            username=parts.username or "",
            password=parts.password or "",
        )


@dataclass
class Figures:
    """The milliseconds of each way to see the first rows of one table."""

    source: Source
    table: str
    seen_ms: dict[str, list[float]] = field(default_factory=dict)

    def median_ms(self, way: str) -> float:
        return statistics.median(self.seen_ms[way])

    @property
    def ratio(self) -> float:
        script_ms = min(self.median_ms("limited"), self.median_ms("streamed"))
        return self.median_ms("preview") / script_ms


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sources", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="runs the medians are of")
    parser.add_argument("--slow-rounds", type=int, default=5, help="of what takes seconds")
    options = parser.parse_args()

    def work() -> int:
        found = compare(options.rounds, options.slow_rounds)
        print(report(found))
        return int(any(figures.ratio > GOAL for figures in found))

    return launch(work)


def compare(rounds: int, slow_rounds: int) -> list[Figures]:
    """Raises LauncherError."""
    ensure_programs(NEEDS)
    python = install(PLAIN / "requirements.txt")
    with contextlib.ExitStack() as stack:
        environment, _ = stack.enter_context(servers(NAMES))
        port = stack.enter_context(_api(environment))
        plain = stack.enter_context(_script(python))
        found = []
        for source in _sources(environment, port):
            _fill(source)
            for name in TABLES:
                say(f"Measuring {source.kind}, {TABLES[name]:,} rows")
                figures = Figures(source, name)
                _measure(figures, _ways(source, name, plain, port), rounds, slow_rounds)
                found.append(figures)
        return found


def _measure(figures: Figures, ways: dict[str, Timed], rounds: int, slow_rounds: int) -> None:
    """Let all take turns; what takes longer than 100 ms gets fewer of them."""
    quick = {way: run for way, run in ways.items() if min(run() for _ in range(3)) < 100}
    for number in range(max(rounds, slow_rounds)):
        for way, run in (ways if number < slow_rounds else quick).items():
            figures.seen_ms.setdefault(way, []).append(run())


def _ways(
    source: Source, table_name: str, plain: "subprocess.Popen[str]", port: int
) -> dict[str, Timed]:
    sql = f"SELECT * FROM {table_name}"  # noqa: S608
    unseen = (f"{sql} -- {number}" for number in itertools.count())
    return {
        "limited": lambda: _ask(plain, f"limited {source.url} {table_name}"),
        "preview": lambda: _timed(lambda: _preview(source, sql)),
        "streamed": lambda: _ask(plain, f"streamed {source.url} {table_name}"),
        "first preview": lambda: _timed(lambda: _preview(source, next(unseen))),
        "connected": lambda: _ask(plain, f"connected {source.url} {table_name}"),
        "over HTTP": lambda: _timed(lambda: _preview_over_http(source, sql, port)),
    }


def _timed(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1000


def _preview(source: Source, sql: str) -> None:
    found = run_preview(source.params, sql, ROWS)
    assert (found.row_count, found.truncated) == (ROWS, True)  # noqa: S101


def _preview_over_http(source: Source, sql: str, port: int) -> None:
    body = {"source_connection_id": source.connection_id, "source_query": sql, "limit": ROWS}
    answer = _send(port, "/api/v1/mappings/preview", body)
    assert answer.status == 200  # noqa: S101


def _send(port: int, path: str, body: dict[str, Any]) -> Answer:
    with Client(port) as client:
        return client.send(request("POST", path, body))


@contextlib.contextmanager
def _script(python: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [str(python), str(PLAIN / "first_rows.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        yield process


def _ask(plain: "subprocess.Popen[str]", line: str) -> float:
    assert plain.stdin is not None  # noqa: S101
    assert plain.stdout is not None  # noqa: S101
    plain.stdin.write(line + "\n")
    if not (told := plain.stdout.readline()):
        raise LauncherError("The plain script failed; the lines above say why.")
    return float(told)


@contextlib.contextmanager
def _api(environment: dict[str, str]) -> Iterator[int]:
    """Run the service over the embedded store: what it keeps there is one record a source."""
    os.environ.update(environment)
    name = f"bench_{secrets.token_hex(4)}"
    with (
        tempfile.TemporaryDirectory() as folder,
        service(environment["MONGODB_URL"], name, Path(folder) / "service.log") as (_, port),
    ):
        yield port


def _sources(environment: dict[str, str], port: int) -> Iterator[Source]:
    for kind, name in (("postgresql", "TEST_POSTGRES_URL"), ("mysql", "TEST_MYSQL_URL")):
        params = Source(kind, environment[name], "").params
        body: dict[str, Any] = {
            "name": kind, "db_type": kind, "host": params.host, "port": params.port,
            "database": params.database, "username": params.username,
            "password": params.password,
        }  # fmt: skip
        answer = _send(port, "/api/v1/connections", body)
        if answer.status != 201:
            raise LauncherError(f"POST connections: {answer.json()}")
        yield Source(kind, environment[name], answer.json()["id"])


def _fill(source: Source) -> None:
    params = source.params
    login: dict[str, Any] = {
        "host": params.host, "port": params.port, "user": params.username,
        "password": params.password,
    }  # fmt: skip
    connection: Any = (
        psycopg2.connect(**login, dbname=params.database)
        if source.kind == "postgresql"
        else pymysql.connect(**login, database=params.database, autocommit=True)
    )
    if source.kind == "postgresql":
        connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        for name, rows in TABLES.items():
            say(f"Filling {name} in {source.kind} with {rows:,} rows")
            cursor.execute(f"DROP TABLE IF EXISTS {name}")
            cursor.execute(FILL[source.kind].format(table=name, rows=rows))


def report(found: list[Figures]) -> str:
    head = [
        "milliseconds", "LIMIT 100", "server's cursor", "preview", f"ratio, ≤ {GOAL}",
        "preview of a new query", "preview over HTTP", "script that stays connected",
    ]  # fmt: skip
    ways = ("limited", "streamed", "preview", "first preview", "over HTTP", "connected")
    rows = []
    for figures in found:
        script, cursor, preview, *rest = (f"{figures.median_ms(way):.2f}" for way in ways)
        ratio = f"{figures.ratio:.2f}{'' if figures.ratio <= GOAL else ' ✗'}"
        name = f"{figures.source.kind}, {TABLES[figures.table]:,} rows"
        rows.append([name, script, cursor, preview, ratio, *rest])
    return table(head, rows)


if __name__ == "__main__":
    sys.exit(main())
