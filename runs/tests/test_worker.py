"""Runs that real workers do: from PostgreSQL into Delta tables."""

import os
import secrets
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
from bson import ObjectId

from runs.tests.pipelines import broken, pipeline, source_body
from runs.tests.relay import Relay
from runs.tests.workers import ended, running, started, state, until, worker

TEN = "SELECT g AS id FROM generate_series(1, 10) g"
SLOW = "SELECT g AS id, pg_sleep(60) FROM generate_series(1, 3) g"


def rows(folder: Path, table: str) -> list[int]:
    """Return the ids in a table of the default lake, as any reader sees them."""
    lake = import_module("deltalake").DeltaTable(str(folder / "lake" / table))
    return sorted(lake.to_pyarrow_table().column("id").to_pylist())


def table_of(run) -> str:
    return run["plan"]["target_table"]


def test_rows_move_from_the_source_to_the_lake(api, tmp_path):
    mapping = pipeline(api, TEN)
    before = numbers(api)
    with worker(tmp_path):
        run = ended(api, started(api, mapping))
        assert numbers(api)["etl_workers"] == 1
    assert (run["status"], run["error"]) == ("succeeded", None), run
    assert (run["rows_read"], run["rows_written"], run["rows_rejected"]) == (10, 10, 0)
    assert (run["stage"], run["attempt"], run["progress"]) == ("commit", 1, 1)
    assert run["target"]["kind"] == "delta"
    assert run["worker"].count(":") == 1
    assert run["duration_ms"] >= 0
    assert rows(tmp_path, table_of(run)) == list(range(1, 11))
    lines = api.get(f"runs/{run['id']}/log").json()
    assert "begins" in lines[0]["message"]
    assert "Succeeded" in lines[-1]["message"]
    assert api.post(f"runs/{run['id']}/retry").code == "run_succeeded"
    assert api.post(f"runs/{run['id']}/cancel").code == "run_ended"
    counted = {name: value - before.get(name, 0) for name, value in numbers(api).items()}
    assert counted['etl_runs_total{state="succeeded"}'] == 1
    assert counted['etl_run_rows_total{what="written"}'] == 10
    assert counted['etl_store_command_seconds_count{command="update"}'] > 0


def numbers(api):
    """Return what Prometheus is told, of all processes, by name with labels."""
    lines = api.get("/metrics").body.decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def test_a_cancel_reaches_a_query_that_runs(api, tmp_path):
    mapping = pipeline(api, SLOW)
    with worker(tmp_path):
        run = started(api, mapping)
        running(api, run)
        assert api.delete(f"mappings/{mapping['id']}").code == "in_use"
        for _ in range(2):
            assert api.post(f"runs/{run['id']}/cancel").status == 202
        run = ended(api, run)
        assert (run["status"], run["rows_written"], run["error"]) == ("cancelled", 0, None)
        assert api.post(f"runs/{run['id']}/cancel").status == 202
        assert api.delete(f"mappings/{mapping['id']}").status == 204


def test_what_the_database_refuses_fails_at_once(api, tmp_path, stored):
    mapping = broken(api, stored)
    with worker(tmp_path):
        run = ended(api, started(api, mapping))
    assert (run["status"], run["error"]["code"], run["attempt"]) == ("failed", "query_refused", 1)
    assert run["error"]["hint"]
    assert run["rows_written"] == 0


def test_a_source_that_is_away_is_asked_again_and_again(api, tmp_path):
    away = api.create("connections", source_body(port=1))
    mapping = pipeline(api, TEN, source_connection_id=away["id"])
    with worker(tmp_path):
        run = ended(api, started(api, mapping))
    assert (run["status"], run["attempt"]) == ("failed", 3)
    assert run["error"]["code"] == "source_unreachable"


def test_rows_that_are_refused_are_kept_for_who_may_see_them(api, tmp_path):
    query = "SELECT CASE g WHEN 3 THEN 'three' ELSE g::text END AS id FROM generate_series(1, 5) g"
    mapping = pipeline(api, query)
    with worker(tmp_path):
        run = ended(api, started(api, mapping))
    assert (run["status"], run["error"]["code"]) == ("failed", "too_many_rejected")
    assert run["error"]["stage"] == "transform"
    assert run["rows_rejected"] == 1
    (entry,) = api.get(f"runs/{run['id']}/rejected").json()
    assert (entry["row"], entry["value"], entry["code"]) == (3, "three", "not_a_number")


def test_a_mapping_without_rules_says_so(api, tmp_path):
    mapping = pipeline(api, TEN)
    api.delete(f"mappings/{mapping['id']}/column-mappings")
    with worker(tmp_path):
        run = ended(api, started(api, mapping))
    assert (run["error"]["code"], run["error"]["stage"]) == ("mapping_incomplete", "plan")


def test_one_run_of_a_mapping_at_a_time_and_each_once(api, tmp_path, stored):
    mappings = [pipeline(api, TEN) for _ in range(3)]
    runs = [started(api, mapping) for mapping in mappings for _ in range(4)]
    with worker(tmp_path, "--concurrency", "3"), worker(tmp_path, "--concurrency", "3"):
        done = [ended(api, run) for run in runs]
    assert {run["status"] for run in done} == {"succeeded"}
    for mapping in mappings:
        of_one = [run for run in done if run["mapping_id"] == mapping["id"]]
        assert rows(tmp_path, table_of(of_one[0])) == sorted([*range(1, 11)] * 4)
        times = sorted((run["started_at"], run["ended_at"]) for run in of_one)
        assert all(one[1] <= other[0] for one, other in zip(times, times[1:], strict=False))


def test_a_worker_that_stops_hands_its_run_back(api, tmp_path):
    mapping = pipeline(api, SLOW)
    with worker(tmp_path, "--grace", "0.1") as first:
        run = started(api, mapping)
        running(api, run)
        assert first.terminate() == 0
    back = state(api, run)
    assert (back["status"], back["attempt"], back["started_at"]) == ("queued", 0, None)
    assert api.post(f"runs/{run['id']}/cancel").json()["status"] == "cancelled"


def test_a_worker_that_stops_while_the_store_is_away_leaves_its_run(api, tmp_path):
    mapping = pipeline(api, SLOW)
    with Relay(urlsplit(os.environ["MONGODB_URL"]).port) as relay:
        there = f"mongodb://127.0.0.1:{relay.port}/?directConnection=true"
        with worker(tmp_path, "--grace", "0.1", MONGODB_URL=there) as first:
            run = started(api, mapping)
            running(api, run, "extract")
            relay.cut()
            assert first.terminate() == 0
            assert "left to another worker" in first.log.read_text()
    assert state(api, run)["status"] == "running"


def test_a_worker_takes_runs_of_some_connections(api, tmp_path):
    other, wanted = pipeline(api, TEN), pipeline(api, TEN)
    connection = api.get(f"connections/{wanted['source_connection_id']}").json()
    with worker(tmp_path, "--connections", connection["name"]):
        waiting = started(api, other)
        assert ended(api, started(api, wanted))["status"] == "succeeded"
        assert state(api, waiting)["status"] == "queued"


def test_a_run_that_takes_too_long_is_ended(api, tmp_path):
    mapping = pipeline(api, SLOW)
    with worker(tmp_path, RUN_TIMEOUT_S="1"):
        run = ended(api, started(api, mapping))
    assert (run["status"], run["error"]["code"]) == ("failed", "run_timeout")


def test_health_tells_of_workers(api, tmp_path):
    assert api.get("/health").json()["checks"]["worker"]["status"] == "absent"
    with worker(tmp_path) as one:
        until(lambda: health(api) == "up", "no sign of life")
        one.terminate()
    assert health(api) == "absent"
    assert api.get("/health").status == 200


def health(api):
    return api.get("/health").json()["checks"]["worker"]["status"]


def test_what_a_killed_worker_had_is_found_or_taken_up(api, tmp_path, warehouse):
    """Frozen before two of its runs commit, and killed after that: it has noted neither."""
    quick, slow = (
        f"SELECT g AS id, pg_sleep({pause_s}) FROM generate_series(1, 10) g" for pause_s in (0.3, 1)
    )
    mappings = [
        pipeline(api, quick, target_table="found"),
        pipeline(api, quick, target_table="found", target_id=warehouse.target),
        pipeline(api, slow, target_table="taken_up"),
    ]
    with worker(tmp_path, "--concurrency", "3") as first:
        runs = [started(api, mapping) for mapping in mappings]
        for run in runs:
            running(api, run, "extract")
        first.freeze()
        version = tmp_path / "lake" / "found" / "_delta_log" / f"{0:020}.json"
        until(version.exists, "nothing was committed to the lake")
        until(warehouse.loads, "nothing was committed to the database")
        first.kill()
    with worker(tmp_path, "--concurrency", "3"):
        ends = [ended(api, run) for run in runs]
    for run in ends:
        assert (run["status"], run["attempt"], run["error"]) == ("succeeded", 2, None), run
        assert (run["rows_read"], run["rows_written"]) == (10, 10)
    assert [run["target"]["version"] for run in ends] == [0, None, 0]
    for table in ("found", "taken_up"):
        assert rows(tmp_path, table) == list(range(1, 11))
    assert warehouse.ids() == list(range(1, 11))


def test_a_table_of_many_small_commits_is_put_together(api, tmp_path):
    mapping = pipeline(api, TEN, target_table="small")
    plans = import_module("engine.tests.plans")
    rules = [plans.direct("id", "id")]
    plan = plans.a_plan(rules, {"id": "integer"}, table="small", mapping_id=mapping["id"])
    for number in range(100):
        committed(plan, tmp_path / "lake", number)
    with worker(tmp_path):
        assert ended(api, started(api, mapping))["target"]["version"] == 100
        until(lambda: len(files(tmp_path / "lake" / "small")) == 1, "nothing was put together")
    assert rows(tmp_path, "small") == sorted([*range(100), *range(1, 11)])


def committed(plan, folder, number):
    """Commit one row, as a run does."""
    loader = import_module("engine.load.delta").DeltaLoader(plan, str(folder))
    loader.begin()
    loader.stage(import_module("pyarrow").record_batch({"id": [number]}))
    loader.commit(f"t{number}", loader.staged(), None)


def files(folder):
    return import_module("deltalake").DeltaTable(str(folder)).file_uris()


def test_a_target_that_is_away_is_asked_until_it_tells(api, tmp_path, stored, warehouse):
    """As after a worker that was lost in its last attempt, right behind the commit."""
    mapping = pipeline(api, TEN, target_table="found", target_id=warehouse.target)
    with worker(tmp_path):
        run = ended(api, started(api, mapping))
    lost = {"status": "queued", "attempt": 3, "rows_written": 0, "lost_tokens": warehouse.tokens()}
    stored.runs.update_one({"_id": ObjectId(run["id"])}, {"$set": lost})
    with Relay(urlsplit(warehouse.url).port, hang_ups=40) as relay:
        change = {"port": relay.port, "password": urlsplit(warehouse.url).password}
        assert api.patch(f"connections/{warehouse.connection}", change).status == 200
        with worker(tmp_path, RUN_RETRY_PAUSE_S="0.1"):
            run = ended(api, run)
    assert (run["status"], run["rows_written"], run["error"]) == ("succeeded", 10, None)
    assert warehouse.ids() == list(range(1, 11))


@pytest.fixture
def warehouse(api):
    """A database of its own that is a target."""
    server, name = os.environ["TEST_POSTGRES_URL"], f"etl_warehouse_{secrets.token_hex(4)}"
    queried(server, f"CREATE DATABASE {name}")
    try:
        connection = api.create("connections", source_body(database=name))
        body = {"name": "warehouse", "kind": "postgresql", "connection_id": connection["id"]}
        url = urlsplit(server)._replace(path=f"/{name}").geturl()
        yield Warehouse(api.create("targets", body)["id"], connection["id"], url)
    finally:
        queried(server, f"DROP DATABASE {name} WITH (FORCE)")


@dataclass
class Warehouse:
    target: str
    connection: str
    url: str

    def loads(self):
        """Return the commits that have been made there."""
        there = queried(self.url, "SELECT 1 FROM pg_class WHERE relname = '_etl_loads'")
        return there and queried(self.url, "SELECT 1 FROM _etl_loads WHERE token IS NOT NULL")

    def tokens(self):
        return [row[0] for row in queried(self.url, "SELECT token FROM _etl_loads")]

    def ids(self):
        return [row[0] for row in queried(self.url, "SELECT id FROM found ORDER BY id")]


def queried(url, statement):
    """Return the rows of a statement, run as another program would."""
    with closing(psycopg2.connect(url)) as session:
        session.autocommit = True
        cursor = session.cursor()
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
