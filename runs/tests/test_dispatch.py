"""What a broker is told, and that nothing of it is loaded without one."""

import os
import subprocess
import sys

import pytest

from runs import dispatch
from runs.tests.pipelines import pipeline
from runs.tests.workers import ROOT, started, until


@pytest.fixture
def told(monkeypatch):
    """The ids and queues of which a broker would hear."""
    found = []
    announcer = dispatch.Announcer(lambda *message: found.append(message))
    monkeypatch.setattr(dispatch, "_announcer", announcer)
    return found


def test_each_run_that_waits_is_told_of_by_its_queue(api, told, settings):
    mapping = pipeline(api)
    name = api.get(f"connections/{mapping['source_connection_id']}").json()["name"]
    first = started(api, mapping)
    settings.CELERY_QUEUES = ["nothing-*=other", f"{name[:4]}*=site-a"]
    second = started(api, mapping)
    until(lambda: len(told) == 2, "not told")
    assert [(str(run_id), queue) for run_id, queue in told] == [
        (first["id"], "runs"), (second["id"], "site-a"),
    ]  # fmt: skip


def test_a_broker_that_is_away_keeps_nobody(api, monkeypatch, caplog):
    def fail(*message):
        raise OSError("redis://:hunter2@broker refused")

    monkeypatch.setattr(dispatch, "_announcer", dispatch.Announcer(fail))
    started(api, pipeline(api))
    until(lambda: "The broker takes no messages (OSError)." in caplog.text, "not told")
    assert "hunter2" not in caplog.text


def test_without_a_broker_nothing_of_celery_is_loaded():
    code = (
        "import django, sys; django.setup()\n"
        "import etl_config.wsgi, runs.worker, runs.scheduler, runs.queueing\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(loaded & {'celery', 'kombu', 'amqp', 'billiard', 'redis'})\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "etl_config.settings"}
    environment.pop("CELERY_BROKER_URL", None)
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert said.stdout == "set()\n"
