"""Runs that are handed to an executor elsewhere: a real server, which is well, wrong or away."""

import json
import threading

import pytest
from django.core.management import call_command

from children import networks
from mappings.models import Mapping
from notifications.tests.receivers import web_receiver
from runs import claims, outcomes, queueing
from runs.attempt import StopReason
from runs.outside import HandedOver
from runs.tests.pipelines import pipeline
from runs.tests.workers import until


@pytest.fixture
def executor(settings):
    with web_receiver() as found:
        found.status = 200
        settings.RUN_DISPATCH_URL = f"http://etl:hunter2@127.0.0.1:{found.port}/v1/"
        yield found


@pytest.fixture
def run(api):
    """A run that waits."""
    mapping = Mapping.objects.get(pk=pipeline(api)["id"])
    return queueing.queue(Mapping.from_document(mapping.document), trigger="manual")


def claimed(run, stop=None):
    claim = claims.Queue("test:1", lambda one: one["_id"] == run["_id"]).claim()
    return HandedOver(claim, stop or StopReason(), "test:1")


def done(api, run, attempt=None):
    (attempt or claimed(run)).perform()
    return api.get(f"runs/{run['_id']}").json()


def test_a_run_is_handed_over_and_its_outcome_is_the_runs(api, executor, run):
    executor.answer = b'{"execution_id": "e-1", "status": "success", "rows_written": 7}'
    found = done(api, run)
    assert (found["status"], found["rows_written"], found["engine"]) == ("succeeded", 7, "outside")
    assert executor.paths == ["/v1/executions/run"]
    assert executor.messages == [{"mapping_id": found["mapping_id"]}]
    assert executor.headers[0]["Idempotency-Key"] == found["id"]
    assert executor.headers[0]["Authorization"].startswith("Basic ")
    log = api.get(f"runs/{found['id']}/log").body.decode()
    assert "the execution e-1" in log
    assert "hunter2" not in log


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (200, {"status": "failed", "error_message": "No table."},
         'The executor ended the run with "failed": No table.'),
        (200, "hello", 'The executor ended the run with "no status".'),
        (422, {"error_message": "No such mapping."},
         "The executor answered 422: No such mapping."),
        (302, {}, "The executor answered 302."),
    ],
)  # fmt: skip
def test_an_executor_that_fails_fails_the_run(api, executor, run, status, answer, message):
    executor.status, executor.answer = status, json.dumps(answer).encode()
    found = done(api, run)
    assert (found["status"], found["rows_written"], found["attempt"]) == ("failed", 0, 1)
    assert (found["error"]["code"], found["error"]["message"]) == ("internal_error", message)
    assert found["error"]["hint"]


def test_an_executor_that_takes_too_long_is_given_up_and_not_asked_again(
    api, executor, run, settings
):
    settings.RUN_DISPATCH_TIMEOUT_S = 1.0
    executor.pause_s = 3
    found = done(api, run)
    assert (found["status"], found["error"]["code"]) == ("failed", "run_timeout")


def test_an_executor_that_is_away_is_tried_again(api, run, settings):
    settings.RUN_DISPATCH_URL = "http://127.0.0.1:1"
    settings.RUN_RETRY_PAUSE_S = 0
    found = done(api, run)
    assert (found["status"], found["error"]["code"]) == ("queued", "worker_lost")
    assert "was not reached" in found["error"]["message"]
    done(api, run)
    found = done(api, run)
    assert (found["status"], found["attempt"]) == ("failed", 3)


def test_a_run_whose_worker_was_lost_is_not_handed_over_twice(api, executor, run, stored):
    executor.pause_s = 2
    lost = claimed(run)
    thread = threading.Thread(target=lost.perform)
    thread.start()
    until(lambda: executor.bodies, "nothing was handed over")
    assert outcomes.worker_lost(stored.runs.find_one())
    lost.stop.give("lost")
    thread.join()
    stored.runs.update_many({}, {"$set": {"not_before": None}})
    found = done(api, run)
    assert (found["status"], found["error"]["code"]) == ("failed", "worker_lost")
    assert len(executor.bodies) == 1


def test_an_executor_is_dialled_where_sources_may_be(api, executor, run):
    before = networks.in_force()
    networks.use(networks.Networks.of(["127.0.0.0/8"]))
    try:
        found = done(api, run)
    finally:
        networks.use(before)
    assert (found["status"], found["attempt"]) == ("queued", 1)
    assert "127.0.0.1" in found["error"]["message"]
    assert executor.bodies == []


@pytest.mark.parametrize(("word", "status"), [("cancel", "cancelled"), ("handed back", "failed")])
def test_a_run_that_is_out_ends_within_seconds_when_it_is_stopped(api, executor, run, word, status):
    executor.pause_s = 60
    stop = StopReason()
    attempt = claimed(run, stop)
    thread = threading.Thread(target=attempt.perform)
    thread.start()
    until(lambda: executor.bodies, "nothing was handed over")
    until(lambda: attempt.is_sent, "the attempt has not heard that it was")
    stop.give(word)
    # The executor answers after a minute.
    thread.join(30)
    assert not thread.is_alive()
    assert api.get(f"runs/{run['_id']}").json()["status"] == status


def test_a_worker_hands_its_runs_over(api, executor):
    executor.answer = b'{"status": "completed", "rows_written": 1}'
    mapping = pipeline(api)
    call_command("run_mapping", mapping["name"])
    (found,) = api.get("runs").json()
    assert (found["status"], found["engine"]) == ("succeeded", "outside")
