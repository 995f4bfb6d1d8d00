"""`make bench-runs`: runs beside dlt, a pandas script and `psql`, on the same rows.

On servers of its own, a table of 12 mixed columns in PostgreSQL and in MariaDB. From PostgreSQL
through 20 rules into a Delta table, and from MariaDB into PostgreSQL; all take turns, and the
medians are compared: seconds of processor time, all processes together but the databases', seconds
that passed, and the most memory that one process held. Into Delta ours is measured in one process,
in parts by two, and, where pyspark is installed and `--only` names it, by a Spark on this machine.
`--start` measures how long a run of ten rows takes on an idle worker instead, from its POST until
it has succeeded.
"""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pymysql
from deltalake import DeltaTable

from benchmarks.load import Client, request
from benchmarks.report import table
from benchmarks.services import install
from devtools.console import LauncherError, say
from devtools.packages import Need, ensure_programs
from devtools.processes import launch, running
from devtools.servers import NAMES, servers
from devtools.service import ROOT, service
from engine.target import TargetParams
from sources.contract import SourceParams

MOVERS = Path(__file__).with_name("movers")
API = "/api/v1"
OURS = ("ours", "parts", "spark")
USUAL = "ours,parts,dlt,pandas,psql"
START_S = 0.005
CITIES = "'Köln', 'Berlin', 'Paris', 'Roma', 'Wien', 'Zürich', 'Madrid'"
FILL_POSTGRESQL = """
CREATE TABLE bench AS SELECT
    g AS id,
    'First' || g % 1000 || ' Last' || g % 777 AS name,
    'customer' || g || '@example' || g % 50 || '.com' AS email,
    (ARRAY[{cities}])[1 + g % 7] AS city,
    (ARRAY['DE', 'FR', 'IT', 'AT', 'CH', 'ES'])[1 + g % 6] AS country,
    (g % 1000003 * 0.37)::numeric(12, 2) AS amount,
    g / 7.0::double precision AS score,
    (g % 1000)::int AS quantity,
    g % 3 = 0 AS active,
    date '1950-01-01' + (g % 20000)::int AS born,
    timestamp '2020-01-01' + g * interval '1.5 seconds' AS created,
    CASE WHEN g % 4 = 0 THEN NULL ELSE 'Ring twice, then leave it with number ' || g % 90 END
        AS note
FROM generate_series(1::bigint, {rows}) g
"""
FILL_MYSQL = """
CREATE TABLE bench AS SELECT
    seq AS id,
    concat('First', seq % 1000, ' Last', seq % 777) AS name,
    concat('customer', seq, '@example', seq % 50, '.com') AS email,
    elt(1 + seq % 7, {cities}) AS city,
    elt(1 + seq % 6, 'DE', 'FR', 'IT', 'AT', 'CH', 'ES') AS country,
    cast(seq % 1000003 * 0.37 AS decimal(12, 2)) AS amount,
    seq / 7e0 AS score,
    cast(seq % 1000 AS int) AS quantity,
    seq % 3 = 0 AS active,
    date '1950-01-01' + interval seq % 20000 day AS born,
    timestamp '2020-01-01 00:00:00' + interval seq * 3 div 2 second AS created,
    if(seq % 4 = 0, NULL, concat('Ring twice, then leave it with number ', seq % 90)) AS note
FROM seq_1_to_{rows}
"""


@dataclass(frozen=True)
class Way:
    """What moves the rows, and the table or folder where they lie then.

    `given` is what it reads from its standard input.
    """

    name: str
    command: list[str]
    table: str | Path | None = None
    given: str = ""


@dataclass
class Figures:
    """What each run of a way has cost."""

    cost: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def median(self, way: str, name: str) -> float:
        return statistics.median(each[name] for each in self.cost[way])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runs", description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000, help="of the table")
    parser.add_argument("--rounds", type=int, default=3, help="runs that the medians are of")
    parser.add_argument("--only", default=USUAL, help=f"of {USUAL},spark")
    parser.add_argument("--start", action="store_true", help="measure a run of ten rows instead")
    options = parser.parse_args()

    def work() -> int:
        if options.start:
            print(starts(max(options.rounds, 20)))
        else:
            print(compared(options.rows, options.rounds, options.only.split(",")))
        return 0

    return launch(work)


# --- Many rows ------------------------------------------------------------------------------------


def compared(rows: int, rounds: int, only: list[str]) -> str:
    """Return the tables. Raises LauncherError."""
    ensure_programs([Need("psql", "postgresql-client")])
    python = str(install(MOVERS / "requirements.txt"))
    told = []
    with servers(("postgres", "mariadb")) as (environment, _), _folder() as folder:
        postgres, mysql = (environment[name] for name in ("TEST_POSTGRES_URL", "TEST_MYSQL_URL"))
        fill(postgres, mysql, rows)
        for title, ways in (
            ("PostgreSQL → 20 rules → Delta", to_delta(postgres, folder, python, rows)),
            ("MariaDB → PostgreSQL", to_postgres(mysql, postgres, folder, python, rows)),
        ):
            chosen = [way for way in ways if way.name in only]
            figures = Figures()
            for number in range(rounds):
                for way in chosen:
                    cost = measured(way, environment)
                    figures.cost.setdefault(way.name, []).append(cost)
                    said = ", ".join(f"{name} {value:.1f}" for name, value in cost.items())
                    say(f"{title}: {way.name}, round {number + 1}: {said}")
                    check(way, postgres, rows)
                    clear(postgres, folder)
            told.append(f"{title}, {rows:,} rows\n\n{report(figures, rows)}")
    return "\n\n".join(told)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="etl-engine-bench-") as folder:
        yield Path(folder)


def to_delta(url: str, folder: Path, python: str, rows: int) -> list[Way]:
    lake = folder / "lake"
    target = TargetParams("delta", uri=str(lake))
    dumped = f"\\copy bench TO '{folder}/rows' (FORMAT binary)"
    script = [url, str(lake), str(folder / "state")]
    return [
        *(ours(name, url, target, rows, lake / "bench_ours") for name in OURS),
        Way("dlt", [python, str(MOVERS / "with_dlt.py"), *script], lake / "bench_dlt" / "bench"),
        Way("pandas", [python, str(MOVERS / "with_pandas.py"), *script], lake),
        Way("psql", ["psql", "-q", url, "-c", dumped]),
    ]


def to_postgres(url: str, target_url: str, folder: Path, python: str, rows: int) -> list[Way]:
    target = TargetParams("postgresql", database=params(target_url), db_schema="public")
    script = [url, target_url, str(folder / "state")]
    by_pymysql = [url.replace("mysql:", "mysql+pymysql:"), *script[1:]]
    return [
        ours("ours", url, target, rows, "bench_ours"),
        Way("dlt", [python, str(MOVERS / "with_dlt.py"), *by_pymysql], "bench_dlt.bench"),
        Way("pandas", [python, str(MOVERS / "with_pandas.py"), *by_pymysql], "bench_pandas"),
    ]


def ours(name: str, url: str, target: TargetParams, rows: int, table: str | Path) -> Way:
    """Return a run of the engine: in one process as `ours`, else in `parts`, or by `spark`."""
    given = {
        "way": name,
        "source": params(url).to_json(),
        "target": target.to_json(),
        "rows": rows,
        "rules": target.kind == "delta",
    }
    command = [sys.executable, "-m", "benchmarks.movers.ours"]
    return Way(name, command, table, json.dumps(given))


def params(url: str) -> SourceParams:
    parts = urlsplit(url)
    return SourceParams(
        kind="postgresql" if parts.scheme == "postgresql" else "mysql",
        host=parts.hostname or "",
        port=parts.port or 0,
        database=parts.path.strip("/"),
        username=parts.username or "",
        password=parts.password or "",
    )


def measured(way: Way, environment: dict[str, str]) -> dict[str, float]:
    """Do one run; return what it cost. Raises LauncherError."""
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.measured", *way.command],
        input=way.given, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT,
        env=os.environ | environment,
    )  # fmt: skip
    if result.returncode != 0:
        raise LauncherError(f"{way.name} failed; the lines above say why.")
    cost: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return cost


def check(way: Way, postgres: str, rows: int) -> None:
    """Raise LauncherError where not all of the rows lie where they should."""
    if way.table is None:
        return
    if isinstance(way.table, Path):
        added = DeltaTable(str(way.table)).get_add_actions(flatten=True)
        found = sum(added.column("num_records").to_pylist())
    else:
        with contextlib.closing(psycopg2.connect(postgres)) as session, session.cursor() as at:
            at.execute(f"SELECT count(*) FROM {way.table}")  # noqa: S608 - a name of ours
            (found,) = at.fetchone() or (0,)
    if found != rows:
        raise LauncherError(f"{way.name} has moved {found:,} of {rows:,} rows.")


def clear(postgres: str, folder: Path) -> None:
    """Remove what a run has written."""
    for name in ("lake", "state"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "rows").unlink(missing_ok=True)
    with contextlib.closing(psycopg2.connect(postgres)) as session, session, session.cursor() as at:
        at.execute("DROP TABLE IF EXISTS bench_ours, _etl_loads, bench_pandas")
        at.execute("DROP SCHEMA IF EXISTS bench_dlt, bench_dlt_staging CASCADE")


def fill(postgres: str, mysql: str, rows: int) -> None:
    say(f"Filling both databases with {rows:,} rows")
    with contextlib.closing(psycopg2.connect(postgres)) as session, session, session.cursor() as at:
        at.execute(FILL_POSTGRESQL.format(rows=rows, cities=CITIES))
        at.execute("ALTER TABLE bench ADD PRIMARY KEY (id)")
    with contextlib.closing(psycopg2.connect(postgres)) as session:
        session.autocommit = True
        session.cursor().execute("VACUUM ANALYZE bench")
    to = params(mysql)
    login: dict[str, Any] = {
        "host": to.host, "port": to.port, "user": to.username, "password": to.password,
        "database": to.database, "charset": "utf8mb4",
    }  # fmt: skip
    with contextlib.closing(pymysql.connect(**login)) as session, session.cursor() as at:
        at.execute(FILL_MYSQL.format(rows=rows, cities=CITIES))
        at.execute("ALTER TABLE bench ADD PRIMARY KEY (id)")


def report(figures: Figures, rows: int) -> str:
    head = ["", "wall s", "rows/s", "CPU s", "largest process, MiB"]
    lines = []
    for way in figures.cost:
        wall_s, cpu_s, peak_mib = (
            figures.median(way, name) for name in ("wall_s", "cpu_s", "peak_mib")
        )
        lines.append(
            [way, f"{wall_s:.1f}", f"{rows / wall_s:,.0f}", f"{cpu_s:.1f}", f"{peak_mib:.0f}"]
        )
    return table(head, lines)


# --- Ten rows -------------------------------------------------------------------------------------


def starts(rounds: int) -> str:
    """Return how long runs of ten rows take on an idle worker. Raises LauncherError."""
    with contextlib.ExitStack() as stack:
        environment, _ = stack.enter_context(servers(NAMES))
        folder = stack.enter_context(_folder())
        os.environ.update(environment)
        own = {"MONGODB_DB_NAME": f"bench_{secrets.token_hex(4)}", "DATA_DIR": str(folder / "data")}
        os.environ.update(own)
        url, name = environment["MONGODB_URL"], own["MONGODB_DB_NAME"]
        _, port = stack.enter_context(service(url, name, folder / "service.log"))
        stack.enter_context(
            running(
                "The worker", [sys.executable, "manage.py", "run_worker"], log=folder / "worker.log"
            )
        )
        mapping = ten_rows(environment["TEST_POSTGRES_URL"], port)
        say("Measuring runs of ten rows")
        found = [one_run(port, mapping) for _ in range(rounds + 1)][1:]
    return (
        f"POST until succeeded, {rounds} runs of ten rows: median {statistics.median(found):.0f} "
        f"ms, {min(found):.0f} to {max(found):.0f}"
    )


def ten_rows(url: str, port: int) -> str:
    """Return the id of a mapping that reads ten rows into the default lake."""
    with contextlib.closing(psycopg2.connect(url)) as session, session, session.cursor() as at:
        at.execute("CREATE TABLE ten AS SELECT g AS id, 'name ' || g AS name"
                   " FROM generate_series(1, 10) g")  # fmt: skip
    to = params(url)
    connection = _made(port, "connections", {
        "name": "ten", "db_type": to.kind, "host": to.host, "port": to.port,
        "database": to.database, "username": to.username, "password": to.password,
    })  # fmt: skip
    columns = [{"name": "id", "data_type": "integer"}, {"name": "name", "data_type": "string"}]
    schema = _made(port, "schemas", {"name": "ten", "columns": columns})
    mapping = _made(port, "mappings", {
        "name": "ten", "source_connection_id": connection, "target_schema_id": schema,
        "source_query": "SELECT * FROM ten",
    })  # fmt: skip
    for name in ("id", "name"):
        rule = {"type": "direct", "source_columns": [name], "target_fields": [name]}
        _made(port, f"mappings/{mapping}/column-mappings", rule)
    return mapping


def one_run(port: int, mapping: str) -> float:
    """Return the milliseconds from the POST of a run until it is told to have succeeded."""
    time.sleep(0.5)
    started = time.perf_counter()
    run = _made(port, f"mappings/{mapping}/runs", {})
    with Client(port) as client:
        while True:
            said = client.send(request("GET", f"{API}/runs/{run}")).json()
            if said["status"] == "succeeded":
                return (time.perf_counter() - started) * 1000
            if said["status"] not in ("queued", "running"):
                raise LauncherError(f"A run has {said['status']}: {said['error']}")
            time.sleep(START_S)


def _made(port: int, path: str, body: dict[str, Any]) -> str:
    with Client(port) as client:
        answer = client.send(request("POST", f"{API}/{path}", body))
    if answer.status not in (201, 202):
        raise LauncherError(f"POST {path}: {answer.json()}")
    return str(answer.json()["id"])


if __name__ == "__main__":
    sys.exit(main())
