"""Messages that are sent, by real receivers that are well, slow, wrong, redirect or are down."""

import hashlib
import hmac
import socket
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from children import networks
from common import metrics
from notifications import outbox, sending
from notifications.tests.conftest import end
from notifications.tests.receivers import mail_receiver
from runs.tests.workers import ROOT, until

SECRET = "shared-with-nobody"


@pytest.fixture
def denied():
    """No message may go to this machine."""
    before = networks.in_force()
    networks.use(networks.Networks.of(["127.0.0.0/8"]))
    yield
    networks.use(before)


def make_due(stored):
    stored.deliveries.update_many(
        {"next_attempt_at": {"$ne": None}},
        {"$set": {"next_attempt_at": outbox._now() - timedelta(seconds=1)}},
    )


def deliveries(api, record):
    return api.get(f"notifications/{record['id']}/deliveries").json()


def test_a_message_waits_a_minute_for_others_and_is_sent_once(
    api, stored, notify, receiver, mapping
):
    record = notify(secret=SECRET)
    run = end(mapping)
    assert not sending.deliver_due()
    make_due(stored)
    assert sending.deliver_due()
    assert not sending.deliver_due()
    ((delivery,), (message,), (headers,)) = (
        deliveries(api, record), receiver.messages, receiver.headers,
    )  # fmt: skip
    assert receiver.paths == ["/hooks/t0ken?a=b"]
    assert headers["X-ETL-Delivery"] == message["id"] == delivery["id"]
    assert message | {"run": None} == {
        "id": delivery["id"], "event": "failed", "at": delivery["at"], "count": 1,
        "mapping": {"id": str(mapping.pk), "name": mapping.name}, "run": None, "connection": None,
    }  # fmt: skip
    assert (message["run"]["id"], message["run"]["status"]) == (str(run), "failed")
    assert message["run"]["error"]["code"] == "query_refused"
    assert message["run"].keys() == set(outbox.TOLD_OF_RUN)
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 1)
    assert (delivery["next_attempt_at"], delivery["response"]) == (
        None, "The receiver answered 204.",
    )  # fmt: skip
    told = api.get(f"notifications/{record['id']}").json()
    assert told["last_delivery_status"] == "delivered"
    assert told["updated_at"] == record["updated_at"]


def test_a_message_is_signed(stored, notify, receiver, mapping):
    notify(secret=SECRET)
    end(mapping)
    make_due(stored)
    sending.deliver_due()
    parts = dict(part.split("=") for part in receiver.headers[0]["X-ETL-Signature"].split(","))
    signed = parts["t"].encode() + b"." + receiver.bodies[0]
    assert parts["v1"] == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert abs(int(parts["t"]) - time.time()) < 60


def test_without_a_secret_nothing_is_signed(stored, notify, receiver, mapping):
    notify()
    end(mapping)
    make_due(stored)
    sending.deliver_due()
    assert "X-ETL-Signature" not in receiver.headers[0]


@pytest.mark.parametrize("status", [302, 307, 400, 404, 500])
def test_another_answer_is_tried_again_with_the_same_id(
    api, stored, notify, receiver, mapping, status
):
    record = notify()
    end(mapping)
    receiver.status = status
    for attempts in (1, 2):
        make_due(stored)
        before = outbox._now()
        assert sending.deliver_due()
        (delivery,) = deliveries(api, record)
        assert (delivery["status"], delivery["attempts"]) == ("pending", attempts)
        assert delivery["response"] == f"The receiver answered {status}."
        due = stored.deliveries.find_one()["next_attempt_at"]
        assert timedelta(seconds=9) < due - before - timedelta(seconds=10 * (attempts - 1))
    receiver.status = 200
    make_due(stored)
    sending.deliver_due()
    (delivery,) = deliveries(api, record)
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 3)
    assert {headers["X-ETL-Delivery"] for headers in receiver.headers} == {delivery["id"]}
    assert receiver.paths == ["/hooks/t0ken?a=b"] * 3


def test_a_message_is_given_up_after_a_day(api, stored, notify, receiver, mapping):
    record = notify()
    end(mapping)
    receiver.status = 500
    long_ago = outbox._now() - timedelta(hours=24)
    stored.deliveries.update_one({}, {"$set": {"at": long_ago, "attempts": 30}})
    make_due(stored)
    sending.deliver_due()
    (delivery,) = deliveries(api, record)
    assert (delivery["status"], delivery["next_attempt_at"]) == ("failed", None)
    assert api.get(f"notifications/{record['id']}").json()["last_delivery_status"] == "failed"


def test_pauses_grow_up_to_an_hour():
    assert [sending.pause_s(attempt) for attempt in (1, 2, 3, 20)] == [10, 20, 40, 3600]


def test_a_sender_that_died_leaves_its_message_to_another(stored, notify, receiver, mapping):
    notify()
    end(mapping)
    make_due(stored)
    assert sending._claimed()
    assert not sending.deliver_due()
    make_due(stored)
    assert sending.deliver_due()
    assert stored.deliveries.find_one()["attempts"] == 2
    assert len(receiver.messages) == 1


def test_a_message_that_is_on_its_way_is_joined_by_no_event(stored, notify, mapping):
    notify()
    end(mapping)
    make_due(stored)
    sending._claimed()
    end(mapping)
    assert [one["count"] for one in stored.deliveries.find()] == [1, 1]


@pytest.mark.parametrize("change", ["disabled", "deleted"])
def test_what_nobody_wants_any_more_is_not_sent(api, stored, notify, receiver, mapping, change):
    record = notify()
    path = f"notifications/{record['id']}"
    end(mapping)
    make_due(stored)
    assert (api.delete(path) if change == "deleted" else api.patch(path, {"enabled": False})).status
    assert sending.deliver_due()
    assert stored.deliveries.find_one()["status"] == "failed"
    assert receiver.messages == []


# --- Tests ----------------------------------------------------------------------------------------


def outcome_of(api, record):
    started = time.monotonic()
    answer = api.post(f"notifications/{record['id']}/test")
    assert answer.status == 200, answer.body
    assert time.monotonic() - started < 11
    return answer.json()


def test_a_test_is_a_delivery(api, notify, receiver):
    record = notify(secret=SECRET, enabled=False)
    found = outcome_of(api, record)
    assert (found["success"], found["message"]) == (True, "The receiver answered 204.")
    assert found["details"]["kind"] == "webhook"
    assert found["details"]["latency_ms"] > 0
    (delivery,) = deliveries(api, record)
    (message,) = receiver.messages
    assert (delivery["event"], delivery["status"]) == ("test", "delivered")
    assert message["id"] == delivery["id"]
    assert message["event"] == "test"
    assert message["run"] is message["mapping"] is message["connection"] is None


def test_a_slow_receiver_is_told_of_in_time(api, notify, receiver):
    receiver.pause_s = 15
    found = outcome_of(api, notify())
    assert (found["success"], found["details"]["error_code"]) == (False, "timeout")


def test_a_test_that_fails_is_not_sent_again(api, notify, receiver):
    receiver.status = 302
    record = notify()
    found = outcome_of(api, record)
    assert found["message"] == "The receiver answered 302."
    assert found["details"]["error_code"] == "unexpected_answer"
    (delivery,) = deliveries(api, record)
    assert (delivery["status"], delivery["next_attempt_at"]) == ("failed", None)
    assert len(receiver.messages) == 1


def test_a_receiver_that_is_down(api, notify):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    found = outcome_of(api, notify(url=f"http://127.0.0.1:{port}/"))
    assert found["details"]["error_code"] == "connection_refused"
    assert found["message"] == f"127.0.0.1:{port} refused the connection."


def test_a_receiver_that_speaks_no_tls(api, notify, receiver):
    found = outcome_of(api, notify(url=f"https://127.0.0.1:{receiver.port}/"))
    assert found["details"]["error_code"] == "tls_failed"


def test_a_name_that_nobody_knows(api, notify):
    found = outcome_of(api, notify(url="http://nobody.invalid/"))
    assert found["details"]["error_code"] == "host_not_found"


def test_a_message_reaches_no_denied_network(api, stored, notify, receiver, mapping, denied):
    for url in (receiver.url, receiver.url.replace("127.0.0.1", "localhost")):
        record = notify(name=url[:20], url=url)
        found = outcome_of(api, record)
        assert found["details"]["error_code"] == "host_not_allowed"
        end(mapping)
        make_due(stored)
        while sending.deliver_due():
            pass
        assert {one["status"] for one in deliveries(api, record)} == {"failed", "pending"}
    assert receiver.messages == []


def test_a_test_takes_no_overrides(api, notify, receiver):
    path = f"notifications/{notify()['id']}/test"
    assert api.post(path, {}).status == 200
    assert api.post(path, {"url": "http://127.0.0.1:1/"}).status == 400
    assert len(receiver.messages) == 1


def test_an_address_kept_elsewhere_is_found_when_it_is_used(api, receiver, monkeypatch):
    monkeypatch.setenv("ETL_SECRET_HOOK", receiver.url.replace("//", "//ada:w0rd@"))
    where = {"url": {"env": "ETL_SECRET_HOOK"}}
    body = {"name": "ops", "kind": "webhook", "events": ["failed"], "secrets_from": where}
    record = api.create("notifications", body)
    assert outcome_of(api, record)["success"]
    assert receiver.headers[0]["Authorization"] == "Basic YWRhOncwcmQ="
    monkeypatch.delenv("ETL_SECRET_HOOK")
    assert outcome_of(api, record)["details"]["error_code"] == "secret_unreadable"


def test_the_receiver_of_the_documentation_takes_what_is_signed_right(api, notify):
    text = (ROOT / "docs" / "notifications.md").read_text()
    program = text.split("```python\n")[1].split("```")[0]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    command = [sys.executable, "-c", program.replace("9000", str(port))]
    record = notify(url=f"http://127.0.0.1:{port}/", secret="s3cret")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: outcome_of(api, record)["success"], "the receiver took nothing", 30)
            assert process.stdout.readline().startswith('True {"id":')
            path = f"notifications/{record['id']}"
            assert api.patch(path, {"secret": "another"}).status == 200
            assert outcome_of(api, record)["message"] == "The receiver answered 403."
        finally:
            process.kill()


# --- Mail -----------------------------------------------------------------------------------------

MAIL = {"kind": "email", "url": "mailto:ada@example.com,grace@example.com", "secret": None}


def test_without_a_mail_server_there_is_no_mail(api, notify, settings):
    settings.EMAIL_HOST = ""
    assert outcome_of(api, notify(**MAIL))["details"]["error_code"] == "no_mail_server"


def test_a_failure_goes_out_by_mail(api, stored, notify, settings, mapping):
    with mail_receiver() as (port, said):
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        settings.DEFAULT_FROM_EMAIL = "ETL <etl@example.com>"
        record = notify(**MAIL)
        run = end(mapping)
        make_due(stored)
        assert sending.deliver_due()
    (delivery,) = deliveries(api, record)
    assert delivery["status"] == "delivered", delivery
    assert "mail FROM:<etl@example.com>" in [line.split(" size=")[0] for line in said]
    assert [line for line in said if line.startswith("rcpt")] == [
        "rcpt TO:<ada@example.com>", "rcpt TO:<grace@example.com>",
    ]  # fmt: skip
    assert f"Subject: ETL: {mapping.name} failed" in said
    assert f"Run: {run}" in said
    assert "What to do: Correct it." in said
    assert f"X-ETL-Delivery: {delivery['id']}" in said


def test_a_mail_server_is_held_to_the_networks(api, notify, settings, denied):
    with mail_receiver() as (port, said):
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        assert outcome_of(api, notify(**MAIL))["details"]["error_code"] == "host_not_allowed"
        assert said == []


def test_a_mail_server_that_refuses(api, notify, settings):
    with mail_receiver(refuse=True) as (port, _):
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        found = outcome_of(api, notify(**MAIL))
    assert (found["success"], found["message"]) == (
        False, "The mail server refused every recipient.",
    )  # fmt: skip


# --- Apprise --------------------------------------------------------------------------------------


def chat(receiver, scheme="json"):
    return {"kind": "apprise", "url": f"{scheme}://127.0.0.1:{receiver.port}/hooks/t0ken"}


def test_a_failure_goes_out_by_apprise(api, stored, notify, receiver, mapping):
    record = notify(**chat(receiver))
    run = end(mapping)
    make_due(stored)
    assert sending.deliver_due()
    (delivery,) = deliveries(api, record)
    assert (delivery["status"], delivery["response"]) == ("delivered", "Accepted.")
    ((path,), (message,)) = (receiver.paths, receiver.messages)
    assert path == "/hooks/t0ken"
    assert (message["title"], message["type"]) == (f"ETL: {mapping.name} failed", "failure")
    assert f"Run: {run}\n" in message["message"]
    told = metrics.exposition().decode()
    assert 'etl_deliveries_total{event="failed",outcome="delivered"}' in told


def test_what_goes_wrong_with_apprise_is_told_without_the_address(api, notify, receiver):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    receiver.status = 302
    cases = [
        (chat(receiver), "unexpected_answer"),
        (chat(receiver, "jsons"), "tls_failed"),
        (chat(receiver) | {"url": f"json://127.0.0.1:{port}/t0ken"}, "connection_refused"),
        (chat(receiver) | {"url": "json://nobody.invalid/t0ken"}, "host_not_found"),
        (chat(receiver) | {"url": "slack://t0ken"}, "invalid_url"),
    ]
    for number, (address, code) in enumerate(cases):
        found = outcome_of(api, notify(name=str(number), **address))
        assert found["details"]["error_code"] == code
        for secret in ("t0ken", "127.0.0.1", "nobody"):
            assert secret not in found["message"]
    assert receiver.paths == ["/hooks/t0ken"]


def test_apprise_reaches_no_denied_network(api, notify, receiver, denied):
    for name in ("127.0.0.1", "localhost"):
        address = {"kind": "apprise", "url": f"json://{name}:{receiver.port}/"}
        found = outcome_of(api, notify(name=name, **address))
        assert found["details"]["error_code"] == "host_not_allowed"
    assert receiver.messages == []
