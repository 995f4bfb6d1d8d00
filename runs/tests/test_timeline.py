"""The timeline: what ran and what comes in lanes by source, and why slots were skipped."""

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId
from django.urls import reverse

from common.documents import store
from common.tests.client import document, made
from common.tests.operator import someone
from runs.models import Run
from runs.timeline import BIN, DAY, DUE, timeline

NOW = datetime(2026, 3, 10, 12, 7, tzinfo=UTC)


@pytest.fixture
def mapping(api):
    return made(api, "mappings", name="orders")


@pytest.fixture
def source(api, mapping):
    return api.get(f"connections/{mapping['source_connection_id']}").json()["name"]


def ran(stored, mapping, ago, **fields):
    at = (NOW - ago).replace(tzinfo=None)
    run = {
        "_id": ObjectId(),
        "mapping_id": ObjectId(mapping["id"]),
        "mapping_name": mapping["name"],
        "status": "succeeded",
        "queued_at": at,
        "slot_key": str(ObjectId()),
        **fields,
    }
    store.collection(Run).insert_one(run)


def schedule(stored, mapping, expression, **fields):
    return document(
        stored,
        "schedules",
        mapping_id=ObjectId(mapping["id"]),
        cron_expression=expression,
        timezone="UTC",
        **{
            "enabled": True,
            "next_run_at": (NOW + timedelta(minutes=1)).replace(tzinfo=None),
            **fields,
        },
    )


def test_a_lane_counts_what_ran_and_what_comes(stored, mapping, source):
    ran(stored, mapping, timedelta(hours=1))
    ran(stored, mapping, timedelta(hours=1), status="failed")
    ran(stored, mapping, DAY + BIN)
    schedule(stored, mapping, "0 */6 * * *", name="six")
    schedule(stored, mapping, "5 18 * * *", name="eighteen")
    (lane,) = timeline(NOW).lanes
    assert lane.name == source
    assert lane.counts == {"succeeded": 1, "failed": 1, DUE: 5}
    assert lane.bins[0].state == "failed"
    assert lane.busiest.words == "Tue 18:00 to 18:15 UTC: six due, eighteen due"


def test_what_is_ahead_stays_within_the_schedule(stored, mapping):
    schedule(stored, mapping, "0 * * * *", end_at=(NOW + timedelta(hours=2)).replace(tzinfo=None))
    schedule(stored, mapping, "nonsense", name="odd")
    schedule(stored, mapping, "0 * * * *", name="off", enabled=False)
    (ahead,) = timeline(NOW).ahead
    assert (ahead.at.hour, ahead.count) == (13, 2)


def test_a_skipped_slot_says_why(operator, stored, mapping):
    now = store.now().replace(tzinfo=None)
    ran(
        stored,
        mapping,
        NOW - store.now(),
        status="skipped",
        skip_reason="overlap",
        skipped_slots=3,
        slot=now - timedelta(minutes=5),
    )
    page = operator.html("runs_run_timeline")
    assert "3 slots: the run before it was not done" in page
    assert "3 skipped" in page
    assert someone(None).client.get(reverse("admin:runs_run_timeline")).status_code in (302, 403)


def test_the_page_of_a_schedule_shows_its_last_slots(operator, stored, mapping):
    found = schedule(stored, mapping, "0 * * * *")
    ran(
        stored,
        mapping,
        timedelta(),
        status="skipped",
        skip_reason="missed",
        schedule_id=found["_id"],
    )
    page = operator.html("schedules_schedule_change", found["_id"])
    assert "the schedule does not catch it up" in page
