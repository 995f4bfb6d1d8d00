"""Workers on other machines: what they must share with the service, and what they take."""

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from runs import claims, queueing, routing, shared
from runs.tests.pipelines import pipeline
from runs.tests.test_worker import TEN
from runs.tests.workers import started


def test_a_worker_whose_folder_is_another_says_so_before_it_reads_a_row(
    api, stored, tmp_path, settings
):
    settings.DATA_DIR = tmp_path / "service"
    shared.note()
    mapping = pipeline(api, TEN)
    call_command("run_mapping", mapping["name"])
    settings.DATA_DIR = tmp_path / "elsewhere"
    with pytest.raises(CommandError, match="The worker's DATA_DIR is not the folder"):
        call_command("run_mapping", mapping["name"])
    second, first = api.get("runs").json()
    assert first["status"] == "succeeded"
    assert (second["status"], second["attempt"], second["rows_read"]) == ("failed", 1, 0)
    assert second["error"] == {
        "code": "target_refused", "stage": "plan",
        "message": "The worker's DATA_DIR is not the folder that the service has there.",
        "hint": "Mount one folder for the service and all workers, or give the mapping a target "
        "in a bucket, such as s3://.",
    }  # fmt: skip


def test_a_worker_with_another_key_does_not_begin(stored, tmp_path, settings):
    settings.DATA_DIR = tmp_path
    shared.note()
    assert settings.ENCRYPTION_KEY not in str(stored["run_shared"].find_one())
    settings.ENCRYPTION_KEY = Fernet.generate_key().decode()
    with pytest.raises(CommandError, match="The worker's ENCRYPTION_KEY is not the service's"):
        call_command("run_worker")


def test_keys_that_are_being_rotated_are_the_same(stored, tmp_path, settings):
    settings.DATA_DIR = tmp_path
    old, new = settings.ENCRYPTION_KEY, Fernet.generate_key().decode()
    settings.ENCRYPTION_KEY, settings.ENCRYPTION_KEYS_RETIRED = new, [old]
    shared.note()
    settings.ENCRYPTION_KEY, settings.ENCRYPTION_KEYS_RETIRED = old, []
    shared.require_keys()


def test_a_run_that_no_worker_takes_is_seen(api, stored, operator):
    mapping = pipeline(api, TEN)
    run = started(api, mapping)
    now = queueing.naive(routing.store.now())
    of_others = {"_id": "w", "at": now, "connections": "site-a-*", "name": "other:1"}
    stored["run_workers"].insert_one(of_others)
    assert api.get("/health").json()["checks"]["worker"]["unroutable"] == 1
    assert "\netl_runs_unroutable 1.0\n" in api.get("/metrics").body.decode()
    routing.note_unroutable(claims.live_runs())
    assert api.get(f"runs/{run['id']}").json()["warnings"] == []
    stored["runs"].update_many({}, {"$set": {"queued_at": now - timedelta(seconds=31)}})
    for _ in range(2):
        routing.note_unroutable(claims.live_runs())
    (warning,) = api.get(f"runs/{run['id']}").json()["warnings"]
    assert warning["code"] == "no_worker"
    assert "--connections" in warning["message"]
    stored["run_workers"].update_one({"_id": "w"}, {"$set": {"connections": "*"}})
    assert api.get("/health").json()["checks"]["worker"]["unroutable"] == 0
    claims.Queue("test:1").claim()
    assert api.get(f"runs/{run['id']}").json()["warnings"] == []
