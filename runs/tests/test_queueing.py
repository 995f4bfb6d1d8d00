"""Runs as they are queued: what they keep, and that a slot has one run."""

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from mappings.models import Mapping
from runs import claims, life, queueing
from runs.tests.pipelines import pipeline

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def mapping(api) -> Mapping:
    made = pipeline(api)
    return Mapping.from_document(Mapping.objects.get(pk=made["id"]).document)


def test_a_run_keeps_the_plan_of_the_moment_in_which_it_is_queued(api, mapping):
    run = queueing.queue(mapping, trigger="manual")
    api.patch(f"mappings/{mapping.pk}", {"source_query": "SELECT 2 AS id"})
    plan = api.get(f"runs/{run['_id']}").json()["plan"]
    assert plan["source_query"] == "SELECT 1 AS id"
    assert plan["target"] == {"id": "default", "name": "default"}


def test_runs_that_do_the_same_share_a_plan(mapping, stored):
    queueing.queue(mapping, trigger="manual")
    queueing.queue(mapping, trigger="manual")
    assert stored["run_plans"].count_documents({}) == 1


def test_a_slot_has_one_run(mapping):
    schedule = ObjectId()
    queueing.queue(mapping, trigger="schedule", schedule_id=schedule, slot=NOON)
    with pytest.raises(queueing.SlotTaken):
        queueing.queue(mapping, trigger="schedule", schedule_id=schedule, slot=NOON)
    slots = [queueing.Slot(NOON + timedelta(hours=hour)) for hour in range(3)]
    made = queueing.queue_many(mapping, slots, trigger="backfill", schedule_id=schedule)
    assert made == 2
    retry = queueing.queue(
        mapping, trigger="retry", schedule_id=schedule, slot=NOON, retry_of=ObjectId()
    )
    assert retry["slot"] == NOON.replace(tzinfo=None)


def test_a_skipped_slot_becomes_a_backfill(mapping, stored):
    skipped = queueing.skipped(
        mapping.pk, mapping.name, schedule_id=ObjectId(), slot=NOON, reason="overlap"
    )
    assert queueing.insert_many([skipped]) == 1
    assert queueing.insert_many([{**skipped, "_id": ObjectId()}]) == 0
    slot = queueing.Slot(NOON)
    assert queueing.revive_many(mapping, [(skipped, slot)]) == 1
    assert queueing.revive_many(mapping, [(skipped, slot)]) == 0
    found = stored["runs"].find_one({"_id": skipped["_id"]})
    assert (found["status"], found["trigger"], found["skip_reason"]) == ("queued", "backfill", None)


# --- The order of what waits ----------------------------------------------------------------------


def waiting(mapping, minute, **more):
    moment = NOON + timedelta(minutes=minute)
    return {
        "_id": f"{mapping}{minute}", "mapping_id": mapping, "status": "queued", "attempt": 0,
        "trigger": "manual", "slot": None, "queued_at": moment, **more,
    }  # fmt: skip


def first(*runs):
    return [run["_id"] for run in life.candidates(runs, NOON + timedelta(hours=1))]


def test_the_oldest_goes_first_one_of_each_mapping():
    assert first(waiting("b", 3), waiting("a", 2), waiting("a", 1)) == ["a1", "b3"]


def test_backfills_go_last_and_the_oldest_slot_before_them():
    backfill = waiting("a", 1, trigger="backfill", slot=NOON - timedelta(days=9))
    late = waiting("a", 3, trigger="schedule", slot=NOON - timedelta(hours=2))
    later = waiting("a", 2, trigger="schedule", slot=NOON - timedelta(hours=1))
    assert first(backfill, later, late) == ["a3"]
    assert first(backfill) == ["a1"]


def test_a_mapping_waits_for_what_runs_and_for_the_next_attempt():
    running = waiting("a", 9, status="running", attempt=1)
    assert first(running, waiting("a", 1)) == []
    paused = waiting("a", 9, attempt=1, not_before=NOON + timedelta(hours=2))
    assert first(paused, waiting("a", 1)) == []
    assert first({**paused, "cancel_asked": True}, waiting("a", 1)) == ["a9"]


def test_what_a_newer_version_planned_is_left_to_it():
    assert first(waiting("a", 1, plan_version=life.PLAN_VERSION + 1)) == []


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 10), (2, 30), (3, 90)])
def test_pauses_grow(attempt, seconds):
    assert life.pause_s(attempt, 10) == seconds


# --- Lost workers ---------------------------------------------------------------------------------


def test_a_worker_that_shows_no_sign_of_life_is_lost():
    assert lost_at(0, 4, 8, 11.9) == []
    assert lost_at(0, 4, 8, 12) == ["a1"]


def test_nobody_is_lost_because_the_store_was_away():
    assert lost_at(0, 2, 40, 44) == []
    assert lost_at(0, 2, 40, 46, 52) == ["a1"]


def lost_at(*looks):
    """Return the runs that the last of the looks, at these seconds, finds lost."""
    seconds, run = [0.0], waiting("a", 1, status="running", token="t", heartbeat=7)
    watch = claims.Watch(lambda: seconds[0])
    found = []
    for second in looks:
        seconds[0] = second
        found = watch.lost([run])
    return [one["_id"] for one in found]
