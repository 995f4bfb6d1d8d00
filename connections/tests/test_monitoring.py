"""Connections that are checked over time, each once whatever number of processes looks."""

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from common.tests.client import NOBODY, connection_body
from connections import monitoring

NOON = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - as it is stored


@pytest.fixture
def every_day(settings):
    settings.CONNECTION_CHECK_EVERY_S = 86_400.0


def closed(api, **changes):
    """Return a connection to a port of this machine where nobody listens."""
    return api.create("connections", connection_body(host="127.0.0.1", port=1, **changes))


def make_due(stored):
    stored[monitoring.HEALTH].update_many({}, {"$set": {"next_at": NOON}})


def test_nothing_is_checked_unless_it_is_asked_for(api, stored, settings):
    settings.CONNECTION_CHECK_EVERY_S = 0.0
    closed(api)
    assert not monitoring.check_due()
    assert stored[monitoring.HEALTH].count_documents({}) == 0


def test_a_connection_that_is_due_is_checked_once(api, stored, every_day):
    record = closed(api)
    assert not monitoring.check_due()
    make_due(stored)
    assert monitoring.check_due()
    assert not monitoring.check_due()
    (check,) = api.get(f"connections/{record['id']}/checks").json()
    assert check | {"at": 0} == {
        "at": 0, "success": False, "error_code": "connection_refused", "latency_ms": None,
    }  # fmt: skip
    assert api.get(f"connections/{record['id']}").json()["last_test_status"] == "failed"
    health = stored[monitoring.HEALTH].find_one()
    assert (health["failures"], health["is_down"]) == (1, False)
    assert timedelta() < health["next_at"] - monitoring._now() <= timedelta(days=1)


def test_another_process_that_saw_it_due_leaves_it(api, stored, every_day):
    closed(api)
    monitoring.check_due()
    make_due(stored)
    seen = stored[monitoring.HEALTH].find_one()
    assert monitoring._claimed(seen, monitoring._now(), 60.0)
    assert monitoring._claimed(seen, monitoring._now(), 60.0) is None


def test_connections_are_spread_over_the_interval():
    moments = [monitoring.next_moment(ObjectId(), NOON, 60.0) for _ in range(200)]
    assert all(timedelta() < moment - NOON <= timedelta(seconds=60) for moment in moments)
    assert len({moment.second // 6 for moment in moments}) == 10
    one = ObjectId()
    first = monitoring.next_moment(one, NOON, 60.0)
    assert monitoring.next_moment(one, first, 60.0) - first == timedelta(seconds=60)


def test_a_connection_that_is_gone_is_forgotten(api, stored, every_day):
    record = closed(api)
    monitoring.check_due()
    api.delete(f"connections/{record['id']}")
    make_due(stored)
    monitoring.check_due()
    assert stored[monitoring.HEALTH].count_documents({}) == 0
    assert stored.connection_checks.count_documents({}) == 0


def test_a_shorter_interval_counts_at_once(api, stored, settings):
    settings.CONNECTION_CHECK_EVERY_S = 86_400.0
    closed(api)
    monitoring.check_due()
    settings.CONNECTION_CHECK_EVERY_S = 10.0
    monitoring.check_due()
    latest = monitoring._now() + timedelta(seconds=10)
    assert stored[monitoring.HEALTH].find_one()["next_at"] <= latest


def test_checks_are_listed_from_a_moment_on(api, stored):
    record = closed(api)
    stored.connection_checks.insert_many(
        {
            "connection_id": ObjectId(record["id"]), "at": NOON + timedelta(minutes=minute),
            "success": True, "error_code": None, "latency_ms": 2.0,
        }
        for minute in range(3)
    )  # fmt: skip
    path = f"connections/{record['id']}/checks"
    since = (NOON + timedelta(minutes=1)).replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    assert len(api.get(path).json()) == 3
    found = [check["at"] for check in api.get(f"{path}?since={since}").json()]
    assert found == ["2026-01-31T12:02:00.000Z", "2026-01-31T12:01:00.000Z"]
    assert api.get(f"{path}?since=soon").codes == {"since": "invalid"}
    assert api.get(f"connections/{NOBODY}/checks").status == 404
