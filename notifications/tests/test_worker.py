"""A worker sends what is due, and checks connections."""

from notifications.tests.test_sending import make_due
from runs.tests.pipelines import broken, source_body
from runs.tests.workers import ended, started, until, worker


def test_a_run_that_fails_is_told_by_the_worker(api, stored, notify, receiver, tmp_path):
    record = notify(events=["failed", "recovered"])
    mapping = broken(api, stored)
    with worker(tmp_path):
        run = ended(api, started(api, mapping))
        assert run["status"] == "failed"
        until(lambda: stored.deliveries.count_documents({}), "nothing is in the outbox")
        make_due(stored)
        (message,) = until(lambda: receiver.messages, "nothing was sent")
        until(
            lambda: api.get(f"notifications/{record['id']}").json()["last_delivery_status"],
            "the delivery is not noted",
        )
    assert message["event"] == "failed"
    told = {name: run[name] for name in message["run"]}
    assert message["run"] == told


def test_a_worker_tells_of_a_connection_that_goes_down(api, stored, notify, receiver, tmp_path):
    notify(events=["connection_down", "connection_up"])
    record = api.create("connections", source_body(port=1))
    up = api.create("connections", source_body())
    with worker(tmp_path, CONNECTION_CHECK_EVERY_S="1"):
        (message,) = until(lambda: receiver.messages, "nothing was sent")
    assert message["event"] == "connection_down"
    assert message["connection"]["id"] == record["id"]
    checks = api.get(f"connections/{record['id']}/checks").json()
    assert len(checks) >= 2
    assert not any(check["success"] for check in checks)
    assert all(check["success"] for check in api.get(f"connections/{up['id']}/checks").json())
