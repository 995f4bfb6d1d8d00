"""Slots that fire, are skipped, and are run later."""

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from common.tests.client import made
from common.tests.operator import commands_sent
from common.times import iso_utc
from runs import checks, scheduler, slots
from runs.scheduler import Scheduler


def now():
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def leader(api, stored):
    stored[scheduler.SCHEDULER].delete_many({})
    stored[scheduler.SCHEDULER].insert_one({"_id": "begun", "at": now() - timedelta(days=900)})
    return Scheduler()


def due(api, stored, minutes=0, **changes):
    """Return a schedule of every minute that is due since so many minutes, and this one."""
    record = made(api, "schedules", cron_expression="* * * * *", **changes)
    slot = now().replace(second=0) - timedelta(minutes=minutes)
    stored.schedules.update_one({"name": record["name"]}, {"$set": {"next_run_at": slot}})
    return record


def runs(api, record):
    found = api.get(f"runs?schedule_id={record['id']}").json()
    return sorted(found, key=lambda run: run["slot"])


def test_a_slot_that_is_due_is_queued_once(api, stored, leader):
    record = due(api, stored)
    before = stored.schedules.find_one()["next_run_at"]
    assert leader.turn() == 1
    (run,) = runs(api, record)
    assert (run["trigger"], run["status"], run["skip_reason"]) == ("schedule", "queued", None)
    read = api.get(f"schedules/{record['id']}").json()
    assert (read["last_run_id"], read["last_run_status"]) == (run["id"], "queued")
    assert read["last_run_at"] == run["queued_at"]
    plan = api.get(f"runs/{run['id']}").json()["plan"]
    assert plan["slot_start"] < plan["slot_end"] == run["slot"]
    stored.schedules.update_one({}, {"$set": {"next_run_at": before}})
    Scheduler().turn()
    assert [one["id"] for one in runs(api, record) if one["slot"] == run["slot"]] == [run["id"]]


@pytest.mark.parametrize(("at_ms", "pause_ms"), [(0, 200), (799, 200), (800, 200), (950, 50)])
def test_it_looks_again_when_a_second_begins(at_ms, pause_ms):
    at = datetime(2026, 1, 31, 11, 59, 59, at_ms * 1000, tzinfo=UTC)
    assert round(scheduler.pause_s(at) * 1000) == pause_ms


def test_what_is_due_together_is_queued_together(api, stored, leader):
    records = [due(api, stored) for _ in range(3)]
    gone = due(api, stored)
    stored.mappings.delete_one({"_id": ObjectId(gone["mapping_id"])})
    assert leader.turn() == 4
    found = [run for record in records for run in runs(api, record)]
    assert [run["status"] for run in found] == ["queued"] * 3
    assert {run["mapping_id"] for run in found} == {one["mapping_id"] for one in records}
    (skipped,) = runs(api, gone)
    assert skipped["skip_reason"] == "mapping_gone"
    assert leader.turn() == 0


def test_what_was_changed_since_it_was_read_does_not_fire(api, stored, leader):
    changed, other = due(api, stored), due(api, stored)
    leader.begun = scheduler.begun_at(now())
    found = leader._due([ObjectId(one["id"]) for one in (changed, other)], now())
    api.patch(f"schedules/{changed['id']}", {"enabled": False})
    assert scheduler.fire(found, now()) == 1
    assert (len(runs(api, changed)), len(runs(api, other))) == (0, 1)


def test_a_run_that_another_queued_moves_its_schedule_on(api, stored, leader):
    """As after a crash between the two, on a server without transactions."""
    record = due(api, stored)
    before = stored.schedules.find_one()["next_run_at"]
    leader.turn()
    nothing = {"last_run_id": None, "last_run_status": None, "last_run_at": None}
    stored.schedules.update_one({}, {"$set": {"next_run_at": before, **nothing}})
    assert leader.turn() == 1
    (run,) = runs(api, record)
    read = api.get(f"schedules/{record['id']}").json()
    assert (read["last_run_id"], read["last_run_status"]) == (run["id"], "queued")


@pytest.mark.parametrize(("catch_up", "queued"), [("latest", 1), ("all", 4)])
def test_late_slots_run_or_say_why_not(api, stored, leader, catch_up, queued):
    record = due(api, stored, minutes=3, catch_up=catch_up)
    leader.turn()
    found = runs(api, record)[:4]
    assert [run["status"] for run in found].count("queued") == queued
    skipped = [run for run in found if run["status"] == "skipped"]
    assert {run["skip_reason"] for run in skipped} <= {"missed"}
    assert all(run["ended_at"] == run["queued_at"] and run["skipped_slots"] == 1 for run in skipped)


def test_a_mapping_that_is_gone_is_told(api, stored, leader):
    record = due(api, stored)
    stored.mappings.delete_many({})
    leader.turn()
    assert {one["skip_reason"] for one in runs(api, record)} == {"mapping_gone"}


def test_slots_before_the_first_scheduler_neither_fire_nor_are_skipped(api, stored):
    stored[scheduler.SCHEDULER].delete_many({})
    record = due(api, stored, minutes=60)
    began = now()
    Scheduler().turn()
    assert all(run["slot"] >= began.isoformat()[:16] for run in runs(api, record))
    assert stored.schedules.find_one()["next_run_at"].replace(tzinfo=UTC) >= began


def test_check_says_how_many_schedules_are_about_to_begin(api, stored):
    stored[scheduler.SCHEDULER].delete_many({})
    assert list(checks.schedules_about_to_begin()) == []
    made(api, "schedules")
    made(api, "schedules", enabled=False)
    made(api, "schedules", end_at="2020-01-01T00:00:00Z")
    (said,) = checks.schedules_about_to_begin()
    assert said.msg == "1 schedule is about to begin: no scheduler ever ran on this store."
    Scheduler().turn()
    assert list(checks.schedules_about_to_begin()) == []


def test_what_another_program_stored_is_taken_up(api, stored, leader):
    made(api, "schedules")
    stored.schedules.update_one({}, {"$unset": {"next_run_at": "", "enabled": "", "overlap": ""}})
    leader.mend()
    assert stored.schedules.find_one()["next_run_at"].replace(tzinfo=UTC) > now()


def test_of_two_one_leads_and_hands_over(stored, leader):
    other = Scheduler()
    assert (leader.has_lease(), other.has_lease(), leader.has_lease()) == (True, False, True)
    leader.hand_over()
    assert (other.has_lease(), leader.has_lease()) == (True, False)


@pytest.mark.parametrize("apart", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_leader_is_replaced_when_it_stands_still_whatever_its_clock_says(stored, leader, apart):
    seconds = [0.0]
    other = Scheduler(lambda: seconds[0])

    def prolonged():
        held = leader.has_lease()
        until = now() + apart + timedelta(seconds=seconds[0])
        stored[scheduler.SCHEDULER].update_one({"_id": "lease"}, {"$set": {"until": until}})
        return held

    for second in (0, 7, 14):
        seconds[0] = second
        assert (prolonged(), other.has_lease()) == (True, False)
    seconds[0] = 21.9
    assert not other.has_lease()
    seconds[0] = 22
    assert (other.has_lease(), leader.has_lease()) == (True, False)


def test_the_status_of_the_last_run_is_followed(api, stored, leader):
    record = due(api, stored)
    leader.turn()
    before = api.get(f"schedules/{record['id']}").json()["updated_at"]
    stored.runs.update_many({}, {"$set": {"status": "failed"}})
    leader.mend()
    read = api.get(f"schedules/{record['id']}").json()
    assert (read["last_run_status"], read["updated_at"]) == ("failed", before)


def test_a_retry_of_the_newest_slot_is_the_last_run(api, stored, leader):
    record = due(api, stored, minutes=1, catch_up="all")
    leader.turn()
    older, newest = runs(api, record)
    for run in (older, newest):
        assert api.post(f"runs/{run['id']}/cancel").status == 202
    assert last_run(api, record) == (newest["id"], "cancelled", newest["queued_at"])
    api.post(f"runs/{older['id']}/retry")
    assert last_run(api, record)[0] == newest["id"]
    again = api.post(f"runs/{newest['id']}/retry").json()
    assert last_run(api, record) == (again["id"], "queued", again["queued_at"])


def last_run(api, record):
    read = api.get(f"schedules/{record['id']}").json()
    return read["last_run_id"], read["last_run_status"], read["last_run_at"]


def test_deleting_a_schedule_cancels_what_waits(api, stored, leader):
    record = due(api, stored)
    leader.turn()
    assert api.delete(f"schedules/{record['id']}").status == 204
    assert {run["status"] for run in runs(api, record)} == {"cancelled"}


def test_deleting_a_schedule_asks_for_the_end_of_what_may_have_committed(api, stored):
    record = made(api, "schedules", cron_expression="0 * * * *", enabled=False)
    api.post(f"schedules/{record['id']}/backfill", span(3))
    began, lost, fresh = runs(api, record)
    started = {"attempt": 1, "started_at": now() - timedelta(minutes=1)}
    for run, more in ((began, {}), (lost, {"lost_tokens": ["of an attempt"]})):
        stored.runs.update_one({"_id": ObjectId(run["id"])}, {"$set": started | more})
    assert api.delete(f"schedules/{record['id']}").status == 204
    ended = [api.get(f"runs/{run['id']}").json() for run in (began, lost, fresh)]
    assert [run["status"] for run in ended] == ["cancelled", "queued", "cancelled"]
    assert stored.runs.find_one({"_id": ObjectId(lost["id"])})["cancel_asked"]
    assert ended[0]["duration_ms"] >= 60_000
    assert ended[2]["duration_ms"] is None


def test_a_thousand_that_wait_are_cancelled_in_one_write(api):
    record = made(api, "schedules", cron_expression="0 * * * *", enabled=False)
    api.post(f"schedules/{record['id']}/backfill", span(50))
    with commands_sent() as commands:
        assert api.delete(f"schedules/{record['id']}").status == 204
    assert len(commands) < 25
    assert {run["status"] for run in runs(api, record)} == {"cancelled"}


def span(hours):
    hour = now().replace(minute=0, second=0)
    start, end = (
        one.strftime("%Y-%m-%dT%H:%M:%SZ") for one in (hour - timedelta(hours=hours), hour)
    )
    return {"from": start, "to": end}


def test_a_backfill_queues_what_has_no_run_and_its_repeat_nothing(api):
    record = made(api, "schedules", cron_expression="0 * * * *", enabled=False)
    path = f"schedules/{record['id']}/backfill"
    first, again = api.post(path, span(3)), api.post(path, span(4))
    assert (first.status, first.json()) == (202, {"queued": 3, "left_out": 0})
    assert (again.status, again.json()) == (202, {"queued": 1, "left_out": 3})
    found = runs(api, record)
    assert {run["trigger"] for run in found} == {"backfill"}
    assert last_run(api, record) == (found[-1]["id"], "queued", found[-1]["queued_at"])


def test_a_backfill_takes_what_was_skipped(api, stored, leader):
    record = due(api, stored, minutes=3)
    leader.turn()
    oldest, following = runs(api, record)[:2]
    body = {"from": oldest["slot"], "to": following["slot"]}
    answer = api.post(f"schedules/{record['id']}/backfill", body)
    assert answer.json() == {"queued": 1, "left_out": 0}
    revived = api.get(f"runs/{oldest['id']}").json()
    assert (revived["status"], revived["trigger"]) == ("queued", "backfill")


def test_a_backfill_knows_no_slot_before_start_at_nor_from_end_at_on(api):
    hour = now().replace(minute=0, second=0)
    start, end = hour - timedelta(hours=3), hour - timedelta(hours=1)
    ends = {"start_at": iso_utc(start), "end_at": iso_utc(end)}
    record = made(api, "schedules", cron_expression="0 * * * *", **ends)
    answer = api.post(f"schedules/{record['id']}/backfill", span(6))
    assert answer.json() == {"queued": 2, "left_out": 0}
    assert [run["slot"] for run in runs(api, record)] == [
        iso_utc(start), iso_utc(start + timedelta(hours=1)),
    ]  # fmt: skip


def test_a_slot_that_was_backfilled_has_no_older_one_caught_up(api, stored, leader):
    record = due(api, stored, minutes=3, catch_up="latest")
    newest = now().replace(second=0)
    body = {"from": iso_utc(newest), "to": iso_utc(newest + timedelta(seconds=1))}
    assert api.post(f"schedules/{record['id']}/backfill", body).json()["queued"] == 1
    leader.turn()
    found = {run["slot"]: run["status"] for run in runs(api, record)}
    assert [found[iso_utc(newest - timedelta(minutes=late))] for late in (3, 2, 1, 0)] == [
        *["skipped"] * 3, "queued",
    ]  # fmt: skip


def test_the_runs_of_many_slots_are_found_by_their_span(api, monkeypatch):
    record, other = (
        made(api, "schedules", cron_expression="0 * * * *", enabled=False) for _ in range(2)
    )
    for one in (record, other):
        api.post(f"schedules/{one['id']}/backfill", span(5))
    monkeypatch.setattr(slots, "FEW", 2)
    found = [datetime.fromisoformat(run["slot"]) for run in runs(api, record)]
    asked = [found[0], found[2], found[4], found[4] + timedelta(hours=9)]
    assert set(slots.runs_of(ObjectId(record["id"]), asked)) == {found[0], found[2], found[4]}


def test_a_backfill_says_what_is_wrong(api, stored):
    record = made(api, "schedules", cron_expression="* * * * *")
    path, body = f"schedules/{record['id']}/backfill", span(1)
    for wrong in ({"from": body["to"], "to": body["from"]}, span(20)):
        answer = api.post(path, wrong)
        assert (answer.status, set(answer.errors)) == (400, {"to"})
    assert set(api.post(path, {}).errors) == {"from", "to"}
    stored.mappings.delete_many({})
    gone = api.post(path, body)
    assert (gone.status, gone.code) == (409, "mapping_gone")
    assert api.post("schedules/" + "0" * 24 + "/backfill", body).status == 404
