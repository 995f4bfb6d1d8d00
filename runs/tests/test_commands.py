"""`run_mapping`, with a worker and without any."""

import json
import os
import signal
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from common.tests.client import made
from runs.tests.pipelines import broken, pipeline
from runs.tests.workers import PATIENCE_S, ROOT, until, worker

TEN = "SELECT g AS id FROM generate_series(1, 10) g"
SLOW = "SELECT g AS id, pg_sleep(60) FROM generate_series(1, 3) g"


def command(folder, *arguments):
    environment = {"DATA_DIR": str(folder), "MONGODB_DB_NAME": connection.settings_dict["NAME"]}
    return subprocess.Popen(
        [sys.executable, "manage.py", "run_mapping", *arguments],
        cwd=ROOT, env=os.environ | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_it_does_the_run_itself_where_no_worker_lives(api, tmp_path):
    mapping = pipeline(api, TEN)
    process = command(tmp_path, mapping["name"], "--json")
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert (json.loads(out)["status"], json.loads(out)["rows_written"]) == ("succeeded", 10)


def test_without_a_worker_it_does_what_waits_before_it_and_nothing_else(api, tmp_path):
    mapping, other = pipeline(api, TEN), pipeline(api, TEN)
    before, elsewhere = (
        api.post(f"mappings/{one['id']}/runs").json()["id"] for one in (mapping, other)
    )
    schedule = made(api, "schedules", mapping_id=mapping["id"], enabled=False)
    span = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z"}
    assert api.post(f"schedules/{schedule['id']}/backfill", span).json()["queued"] == 2
    process = command(tmp_path, mapping["name"])
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert api.get(f"runs/{before}").json()["status"] == "succeeded"
    assert api.get(f"runs/{elsewhere}").json()["status"] == "queued"
    later = api.get(f"runs?schedule_id={schedule['id']}").json()
    assert [run["status"] for run in later] == ["queued", "queued"]


def test_it_waits_for_a_worker_and_tells_why_it_failed(api, tmp_path, stored):
    mapping = broken(api, stored)
    with worker(tmp_path):
        until(lambda: api.get("/health").json()["checks"]["worker"]["status"] == "up", "no worker")
        process = command(tmp_path, mapping["name"])
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "failed: 0 rows read" in out
    assert "query_refused" in err


def test_ctrl_c_cancels_the_run(api, tmp_path):
    mapping = pipeline(api, SLOW)
    process = command(tmp_path, mapping["name"])
    until(lambda: api.get("runs?status=running").json(), "it does not run")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert [run["status"] for run in api.get("runs").json()] == ["cancelled"]


def test_ctrl_c_hands_back_what_it_did_before_the_run(api, tmp_path):
    mapping = pipeline(api, SLOW)
    before = api.post(f"mappings/{mapping['id']}/runs").json()["id"]
    process = command(tmp_path, mapping["name"])
    until(lambda: api.get("runs?status=running").json(), "it does not run")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert api.get(f"runs/{before}").json()["status"] == "queued"
    assert len(api.get("runs?status=cancelled").json()) == 1


def test_an_unknown_mapping_is_told(stored):
    with pytest.raises(CommandError, match='There is no mapping named "nobody"'):
        call_command("run_mapping", "nobody")
