"""Runs by Celery, with real brokers that are killed in the middle."""

import importlib
import json
import os
import sys
from contextlib import ExitStack

import pytest
from kombu import Connection

from devtools import brokers
from devtools.processes import free_port, new_password
from mappings.models import Mapping
from runs import dispatch, queueing
from runs.tests.pipelines import pipeline, source_body
from runs.tests.test_worker import SLOW, TEN, rows, table_of
from runs.tests.workers import WorkerProcess, ended, running, started, state, until, worker
from sources import asking

pytestmark = pytest.mark.engines

RUNS = int(os.environ.get("TEST_RUNS", "500"))
"""Of the test of many; a multiple of fifty."""


class CeleryWorker(WorkerProcess):
    command = ["-m", "celery", "-A", "etl_config", "worker", "--concurrency", "2"]
    ready = " ready."


class Broker:
    """A broker that can be killed and started again where it was."""

    def __init__(self, kind, folder):
        self.kind, self.folder, self.port = kind, folder, free_port()
        self.password = [new_password()] if kind == "redis" else []
        self.stack = ExitStack()

    def start(self):
        start = getattr(brokers, self.kind)
        self.server = self.stack.enter_context(start(self.folder, self.port, *self.password))

    def kill(self):
        self.server.child.stop(0)
        self.stack.close()


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request, tmp_path_factory, settings, monkeypatch):
    found = Broker(request.param, tmp_path_factory.mktemp("broker"))
    found.start()
    # The first query that is checked would wait for it, and for no longer than any other.
    asking.host.warm()
    settings.CELERY_BROKER_URL = found.server.url
    celery = importlib.import_module("etl_config.celery")
    celery = importlib.reload(celery)
    monkeypatch.setattr(dispatch, "_announcer", dispatch.Announcer(celery.send))
    yield found
    celery.app.close()
    found.stack.close()


@pytest.fixture
def by_celery(broker, tmp_path):
    """Return what starts a worker under Celery."""

    def start(*arguments, **environment):
        environment = {"CELERY_BROKER_URL": broker.server.url, **environment}
        return worker(tmp_path, *arguments, kind=CeleryWorker, **environment)

    return start


def test_a_message_is_an_id_alone(api, broker):
    run = started(api, pipeline(api, TEN))
    with Connection(broker.server.url) as connection:
        message = connection.SimpleQueue("runs").get(timeout=20)
    arguments, named, _ = message.payload
    assert (arguments, named) == ([run["id"]], {})
    assert message.headers["task"] == "runs.look"
    said = json.dumps([message.payload, message.headers])
    assert "SELECT" not in said
    assert "password" not in said


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_each_run_is_done_once(api, by_celery, tmp_path, pool):
    mappings = [pipeline(api, TEN) for _ in range(3)]
    with by_celery("--pool", pool), by_celery("--pool", pool, "--hostname", "second@%h"):
        runs = [started(api, mapping) for mapping in mappings for _ in range(4)]
        done = [ended(api, run) for run in runs]
        health = until(lambda: api.get("/health").json()["checks"]["worker"], "no health")
    assert {run["status"] for run in done} == {"succeeded"}, done
    assert (health["status"], health["workers"], health["unroutable"]) == ("up", 2, 0)
    for mapping in mappings:
        of_one = [run for run in done if run["mapping_id"] == mapping["id"]]
        assert rows(tmp_path, table_of(of_one[0])) == sorted([*range(1, 11)] * 4)


def test_a_broker_that_is_killed_loses_no_run(api, broker, by_celery, tmp_path):
    slow = pipeline(api, "SELECT g AS id, pg_sleep(0.5) FROM generate_series(1, 10) g")
    other = pipeline(api, TEN)
    with by_celery():
        first = started(api, slow)
        running(api, first)
        broker.kill()
        later = [started(api, other) for _ in range(3)]
        assert ended(api, first)["attempt"] == 1
        broker.start()
        later.append(started(api, other))
        done = [ended(api, run) for run in later]
    assert [run["status"] for run in done] == ["succeeded"] * 4
    assert rows(tmp_path, table_of(done[0])) == sorted([*range(1, 11)] * 4)


def test_what_a_killed_worker_had_is_taken_up(api, by_celery, tmp_path):
    mapping = pipeline(api, "SELECT g AS id, pg_sleep(0.4) FROM generate_series(1, 10) g")
    with by_celery() as first:
        run = started(api, mapping)
        running(api, run, "extract")
        first.kill()
    with by_celery():
        run = ended(api, run)
    assert (run["status"], run["rows_written"]) == ("succeeded", 10)
    assert rows(tmp_path, table_of(run)) == list(range(1, 11))


def test_a_worker_that_stops_hands_its_run_back(api, by_celery):
    mapping = pipeline(api, SLOW)
    with by_celery() as first:
        run = started(api, mapping)
        running(api, run)
        assert first.terminate() == 0
    back = state(api, run)
    assert (back["status"], back["attempt"], back["started_at"]) == ("queued", 0, None)


def test_workers_hear_of_the_runs_of_their_queues(api, by_celery, settings):
    wanted, other = pipeline(api, TEN), pipeline(api, TEN)
    name = api.get(f"connections/{wanted['source_connection_id']}").json()["name"]
    settings.CELERY_QUEUES = [f"{name}=site-a"]
    with by_celery("--queues", "site-a", CELERY_QUEUES=f"{name}=site-a"):
        waiting = started(api, other)
        assert ended(api, started(api, wanted))["status"] == "succeeded"
        assert state(api, waiting)["status"] == "queued"
        assert api.get("/health").json()["checks"]["worker"]["unroutable"] == 1
    assert "etl_runs_unroutable 1.0" in api.get("/metrics").body.decode()


@pytest.mark.parametrize("by", ["run_worker", "threads", "prefork"])
def test_hundreds_of_runs_are_each_done_once(api, broker, by_celery, stored, tmp_path, capsys, by):
    """Fifty mappings of ten sources, by two workers of four at a time; how long is told."""
    mappings = fifty(api)
    for _ in range(RUNS // 50):
        for mapping in mappings:
            queueing.queue(mapping, trigger="manual")
    if by == "run_worker":
        both = [worker(tmp_path, "--concurrency", "4") for _ in range(2)]
    else:
        pool = ("--pool", by, "--concurrency", "4")
        both = [by_celery(*pool, "--hostname", f"{name}@%h") for name in ("one", "two")]
    with both[0], both[1]:
        waiting = {"ended_at": None}
        until(lambda: not stored.runs.count_documents(waiting), "not all ended", 600, every_s=1.0)
    runs = list(stored.runs.find())
    assert [run["status"] for run in runs] == ["succeeded"] * RUNS
    tables = {run["target"]["table"] for run in runs}
    assert len(tables) == 50
    assert all(rows(tmp_path, table) == sorted([*range(1, 11)] * (RUNS // 50)) for table in tables)
    took = max(run["ended_at"] for run in runs) - min(run["started_at"] for run in runs)
    again = sum(run["attempt"] > 1 for run in runs)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{RUNS} runs by {by}, {broker.kind}: {took.total_seconds():.0f} s, "
            f"{again} in a further attempt\n"
        )


def fifty(api):
    sources = [api.create("connections", source_body())["id"] for _ in range(10)]
    made = [pipeline(api, TEN, source_connection_id=source) for source in sources * 5]
    return [Mapping.from_document(Mapping.objects.get(pk=one["id"]).document) for one in made]
