"""Runs on Spark: a local master, a master with two workers, a Connect server, all real."""

import os
import signal
from urllib.parse import urlsplit

import psycopg2
import pytest
from cryptography.fernet import Fernet

from engine.launchers import archive
from runs.tests.engines import spark
from runs.tests.pipelines import pipeline, source_body
from runs.tests.test_worker import rows, table_of
from runs.tests.workers import ended, started, state, until, worker

pytestmark = pytest.mark.engines

ROWS = 50_000
NUMBERS = f"SELECT g AS id FROM generate_series(1, {ROWS}) g"
SLEEP = "CASE WHEN g % 100 = 0 THEN pg_sleep(0.05)::text END"
SLOW = f"SELECT g AS id, {SLEEP} AS slept FROM generate_series(1, {ROWS}) g"
PATIENCE_S = 600.0
"""Virtual machines start slowly where others are at work."""
PARTS = {"RUN_PART_ROWS": "5000", **spark.ON_LOOPBACK}


@pytest.fixture(scope="session")
def executors_archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "etl-executors.zip"
    archive.make(path)
    return str(path)


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    with spark.master(tmp_path_factory.mktemp("spark")) as address:
        yield address


@pytest.fixture(scope="module")
def connect(tmp_path_factory):
    with spark.connect(tmp_path_factory.mktemp("connect")) as address:
        yield address


def on_spark(api, query=NUMBERS, **changes):
    return pipeline(api, query, **({"engine": "spark", "split_column": "id"} | changes))


def done(api, mapping):
    run = ended(api, started(api, mapping), seconds=PATIENCE_S)
    assert (run["status"], run["error"], run["engine"]) == ("succeeded", None, "spark"), run
    return run


def lines(api, run):
    return [line["message"] for line in api.get(f"runs/{run['id']}/log").json()]


def is_whole(folder, run):
    assert (run["rows_read"], run["rows_written"], run["warnings"]) == (ROWS, ROWS, [])
    assert rows(folder, table_of(run)) == list(range(1, ROWS + 1))


def test_a_local_master_does_the_parts(api, tmp_path):
    mapping = on_spark(api)
    with worker(tmp_path, SPARK_MASTER="local[2]", **PARTS):
        run = done(api, mapping)
    is_whole(tmp_path, run)
    assert any("ranges" in line and "in one snapshot" in line for line in lines(api, run))


def test_executors_that_have_nothing_get_all_of_it(api, tmp_path, master, executors_archive):
    mapping = on_spark(api)
    given = {"SPARK_MASTER": master, "SPARK_ARCHIVE": executors_archive}
    with worker(tmp_path, **given, **PARTS):
        is_whole(tmp_path, done(api, mapping))


def test_an_executor_that_is_killed_costs_and_doubles_no_row(
    api, tmp_path, master, executors_archive
):
    mapping = on_spark(api, SLOW)
    given = {"SPARK_MASTER": master, "SPARK_ARCHIVE": executors_archive}
    with worker(tmp_path, **given, **PARTS):
        run = started(api, mapping)
        until(lambda: copies() >= 2, f"no part runs: {state(api, run)}", PATIENCE_S)
        os.kill(spark.executors()[0], signal.SIGKILL)
        sees_progress(api, run)
        run = ended(api, run, seconds=PATIENCE_S)
    assert (run["status"], run["attempt"]) == ("succeeded", 1), run
    is_whole(tmp_path, run)


def test_a_connect_server_does_the_parts(api, tmp_path, connect, executors_archive):
    mapping = on_spark(api)
    given = {"SPARK_REMOTE": connect, "SPARK_ARCHIVE": executors_archive}
    with worker(tmp_path, **given, **PARTS):
        is_whole(tmp_path, done(api, mapping))


def test_a_cancel_ends_the_queries_of_all_parts(api, tmp_path, connect, executors_archive):
    mapping = on_spark(api, SLOW)
    given = {"SPARK_REMOTE": connect, "SPARK_ARCHIVE": executors_archive}
    with worker(tmp_path, **given, **PARTS):
        run = started(api, mapping)
        until(lambda: copies() >= 2, f"no part runs: {state(api, run)}", PATIENCE_S)
        sees_progress(api, run)
        api.post(f"runs/{run['id']}/cancel")
        run = ended(api, run)
        until(lambda: copies() == 0, "the queries go on", seconds=5)
    assert run["status"] == "cancelled"


def test_a_cluster_with_another_key_opens_no_login(api, tmp_path, connect, executors_archive):
    other = Fernet.generate_key().decode()
    given = {"SPARK_REMOTE": connect, "SPARK_ARCHIVE": executors_archive, "ENCRYPTION_KEY": other,
             "ENCRYPTION_KEYS_RETIRED": os.environ["ENCRYPTION_KEY"]}  # fmt: skip
    mapping = on_spark(api)
    with worker(tmp_path, **given, **PARTS):
        run = ended(api, started(api, mapping), seconds=PATIENCE_S)
    assert (run["status"], run["error"]["code"]) == ("failed", "secret_unreadable"), run


def test_mysql_says_that_each_part_has_its_own_snapshot(api, tmp_path):
    address = urlsplit(os.environ["TEST_MYSQL_URL"])
    source = api.create("connections", source_body(
        db_type="mysql", host=address.hostname, port=address.port,
        database=address.path.strip("/"), username=address.username, password=address.password,
    ))  # fmt: skip
    mapping = on_spark(api, f"SELECT seq AS id FROM seq_1_to_{ROWS}",
                       source_connection_id=source["id"])  # fmt: skip
    with worker(tmp_path, SPARK_MASTER="local[2]", **PARTS):
        run = done(api, mapping)
    assert rows(tmp_path, table_of(run)) == list(range(1, ROWS + 1))
    assert [each["code"] for each in run["warnings"]] == ["snapshot_per_part"]


def sees_progress(api, run):
    """Wait until a run tells how much of it is done, as a person who looks at it would."""
    until(lambda: (state(api, run)["progress"] or 0) > 0, "the run tells no progress", 60)


def copies():
    """Return how many parts of the slow query are read from PostgreSQL at this moment."""
    with psycopg2.connect(os.environ["TEST_POSTGRES_URL"]) as conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%slept%'"
            " AND state = 'active'"
        )
        return cursor.fetchone()[0]
