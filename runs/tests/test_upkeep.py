"""What is older than it is kept is removed, but the last run of what is there."""

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from common.tests.client import made
from runs import queueing, upkeep


@pytest.fixture(autouse=True)
def ninety_days(settings):
    settings.RUN_KEEP_DAYS = 90


def ended(stored, record, days, **changes):
    """Return the id of a run of a mapping or schedule that ended so many days ago."""
    mapping_id = ObjectId(record.get("mapping_id", record["id"]))
    schedule_id = ObjectId(record["id"]) if "mapping_id" in record else None
    at = (datetime.now(UTC) - timedelta(days=days)).replace(tzinfo=None)
    run = queueing.skipped(mapping_id, "m", schedule_id=schedule_id, slot=at, reason="overlap")
    run |= {"status": "succeeded", "queued_at": at, "ended_at": at, "slot_key": None} | changes
    stored.runs.insert_one(run)
    return run["_id"]


def kept(stored):
    while upkeep.remove_old():
        pass
    return {run["_id"] for run in stored.runs.find()}


def test_old_runs_go_and_the_last_of_a_mapping_stays(api, stored):
    mapping = made(api, "mappings")
    ended(stored, mapping, 100)
    last = ended(stored, mapping, 91)
    assert kept(stored) == {last}
    young = ended(stored, mapping, 89)
    assert kept(stored) == {young}


def test_the_last_run_that_a_schedule_tells_of_stays(api, stored):
    schedule = made(api, "schedules")
    told = ended(stored, schedule, 100)
    newer = ended(stored, schedule, 95, status="skipped")
    ended(stored, schedule, 97, status="skipped")
    stored.schedules.update_one({}, {"$set": {"last_run_id": told}})
    assert kept(stored) == {told, newer}


def test_nothing_old_stays_of_what_was_deleted(api, stored):
    schedule = made(api, "schedules")
    ended(stored, schedule, 91)
    young = ended(stored, schedule, 89)
    api.delete(f"schedules/{schedule['id']}")
    stored.mappings.delete_many({})
    assert kept(stored) == {young}


def test_those_that_stay_are_passed_over_however_many_they_are(api, stored, monkeypatch):
    monkeypatch.setattr(upkeep, "BATCH", 2)
    mappings = [made(api, "mappings") for _ in range(3)]
    last = {ended(stored, one, 120) for one in mappings}
    busy = made(api, "mappings")
    ended(stored, busy, 100)
    last.add(ended(stored, busy, 99))
    assert kept(stored) == last
