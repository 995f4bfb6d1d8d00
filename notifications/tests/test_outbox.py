"""What is written to be told, in the transaction of what it tells of."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from common.documents import store
from connections import monitoring
from connections.models import Connection
from notifications import outbox
from notifications.tests.conftest import end, mapping_of
from runs import queueing
from sources.probe import ProbeResult

ALL = ["failed", "recovered", "rejected", "skipped", "connection_down", "connection_up"]


def told(stored):
    """Return the events in the outbox with their counts, oldest first."""
    found = stored.deliveries.find(sort=[("_id", 1)])
    return [(one["event"], one["count"]) for one in found]


def test_only_the_last_attempt_that_failed_is_told(api, stored, notify, mapping):
    record = notify(events=ALL)
    end(mapping, "tried again")
    assert told(stored) == []
    stored.runs.delete_many({})
    run = end(mapping)
    (delivery,) = api.get(f"notifications/{record['id']}/deliveries").json()
    assert delivery["event"] == "failed"
    assert (delivery["mapping_id"], delivery["run_id"]) == (str(mapping.pk), str(run))
    assert (delivery["status"], delivery["attempts"], delivery["count"]) == ("pending", 0, 1)
    assert delivery["next_attempt_at"] > delivery["at"]
    assert delivery["response"] is None


def test_the_first_success_after_a_failure_is_told_once(stored, notify, mapping):
    notify(events=ALL)
    for how in ("succeeded", "failed", "succeeded", "succeeded"):
        end(mapping, how)
    assert told(stored) == [("failed", 1), ("recovered", 1)]


def test_refused_rows_are_told(stored, notify, mapping):
    notify(events=["rejected"])
    end(mapping, "succeeded", rejected=2)
    assert told(stored) == [("rejected", 1)]
    assert stored.deliveries.find_one()["run"]["rows_rejected"] == 2


def test_a_storm_is_one_message_with_the_newest_run(stored, notify, mapping):
    notify()
    for _ in range(4):
        newest = end(mapping)
    assert told(stored) == [("failed", 4)]
    delivery = stored.deliveries.find_one()
    assert (delivery["run_id"], delivery["run"]["id"]) == (newest, str(newest))


def test_what_comes_later_than_a_minute_is_another_message(stored, notify, mapping):
    notify()
    end(mapping)
    stored.deliveries.update_one({}, {"$set": {"at": outbox._now() - outbox.GROUP}})
    end(mapping)
    end(mapping)
    assert told(stored) == [("failed", 1), ("failed", 2)]


def test_many_at_once_are_counted_each(stored, notify, mapping):
    notify()
    run = stored.runs.find_one({"_id": end(mapping)})

    def tell():
        store.transaction(lambda: outbox.run_ended(run))

    threads = [threading.Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(count for _, count in told(stored)) == 9


def test_each_mapping_has_its_own_message(api, stored, notify, mapping):
    notify()
    end(mapping)
    end(mapping_of(api))
    assert told(stored) == [("failed", 1), ("failed", 1)]


def test_only_those_are_told_who_want_to_be(api, stored, notify, mapping):
    other = mapping_of(api)
    notify(name="all")
    notify(name="mine", mapping_ids=[str(mapping.pk)])
    notify(name="others", mapping_ids=[str(other.pk)])
    notify(name="off", enabled=False)
    notify(name="recovered alone", events=["recovered"])
    end(mapping)
    names = {
        stored.notifications.find_one({"_id": one["notification_id"]})["name"]
        for one in stored.deliveries.find()
    }
    assert names == {"all", "mine"}


def test_an_id_of_a_mapping_in_text_counts(api, stored, notify, mapping):
    record = notify()
    stored.notifications.update_one({}, {"$set": {"mapping_ids": [str(mapping.pk).upper()]}})
    end(mapping)
    assert told(stored) == [("failed", 1)]
    path = f"notifications/{record['id']}"
    assert api.get(path).json()["mapping_ids"] == [str(mapping.pk)]
    assert api.patch(path, {"name": "renamed", "mapping_ids": [str(mapping.pk)]}).status == 200


def test_a_slot_that_is_skipped_is_told(stored, notify, mapping):
    notify(events=["skipped"])
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    skipped = [
        queueing.skipped(
            mapping.pk, mapping.name, schedule_id=ObjectId(), slot=noon + timedelta(hours=hour),
            reason="missed", skipped_slots=count,
        )
        for hour, count in enumerate((5, 1))
    ]  # fmt: skip
    assert queueing.insert_skipped(skipped) == 2
    assert told(stored) == [("skipped", 6)]
    run = stored.deliveries.find_one()["run"]
    assert (run["status"], run["slot"]) == ("skipped", "2026-01-31T13:00:00.000Z")


def test_nothing_is_told_of_what_is_rolled_back(stored, notify, mapping):
    assert store.mongodb.features._supports_transactions
    notify()
    run = stored.runs.find_one({"_id": end(mapping)})
    stored.deliveries.delete_many({})

    def work():
        outbox.run_ended(run)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.transaction(work)
    assert told(stored) == []


# --- Connections ----------------------------------------------------------------------------------

DOWN = ProbeResult(False, "It does not answer.", {"error_code": "timeout"})
UP = ProbeResult(True, "Connection successful", {"latency_ms": 1.5})


@pytest.fixture
def connection(stored, mapping):
    found = stored.connections.find_one()
    stored[monitoring.HEALTH].insert_one(
        {"_id": found["_id"], "next_at": outbox._now(), "failures": 0, "is_down": False}
    )
    return Connection.from_document(found)


def test_two_failed_checks_in_a_row_are_down_and_a_success_is_up(
    api, stored, notify, mapping, connection
):
    notify(events=ALL, mapping_ids=[str(mapping.pk)])
    for result in (DOWN, UP, DOWN, DOWN, DOWN, UP, UP):
        monitoring.record(connection, result)
    assert told(stored) == [("connection_down", 1), ("connection_up", 1)]
    message = outbox.message_of(stored.deliveries.find_one())
    assert message["connection"] == {"id": str(connection.pk), "name": connection.name}
    assert (message["mapping"], message["run"]) == (None, None)
    checks = api.get(f"connections/{connection.pk}/checks").json()
    assert [check["success"] for check in checks].count(True) == 3
    assert checks[0] | {"at": 0} == {
        "at": 0, "success": True, "error_code": None, "latency_ms": 1.5,
    }  # fmt: skip


def test_a_connection_that_no_chosen_mapping_reads_is_not_told(api, stored, notify, connection):
    other = mapping_of(api)
    notify(events=ALL, mapping_ids=[str(other.pk)])
    for result in (DOWN, DOWN):
        monitoring.record(connection, result)
    assert told(stored) == []
