"""Sends what is in the outbox: one message at a time for each notification, in a child process.

A message is claimed by one conditional write that also says when it is due again: what a sender
that dies has claimed is sent by another, with the same id.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from typing import Any

from bson import ObjectId
from django.conf import settings
from django.core.mail import EmailMessage

from children.host import ChildError, ChildFailed, ChildLate, Host
from common import metrics
from common.api.json import to_json
from common.documents import store, writes
from common.documents.store import Stored
from common.exceptions import UnreadableSecret
from notifications import addresses, outbox
from notifications.models import TEST, Delivery, DeliveryStatus, Notification, NotificationKind
from runs.queueing import naive
from sources.asking import as_error

POSTING, RELAYING = "notifications.posting", "notifications.relaying"
SEND_TIMEOUT_S = 10.0
LEASE = timedelta(seconds=30)
"""So long after a claim a message is due again whose sender says nothing."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 3600.0
GIVEN_UP_AFTER = timedelta(hours=24)

HINTS = {
    "host_not_found": "Check the host's name, and that this machine's DNS knows it.",
    "host_not_allowed": "Take another host, or have the operator change SOURCE_DENY_NETWORKS.",
    "connection_refused": "Check the port, and that the receiver listens on that address.",
    "timeout": "The receiver answers within 10 s, and does its work afterwards.",
    "tls_failed": "Check the receiver's certificate: a known authority, the right name.",
    "authentication_failed": "Check the account in EMAIL_URL.",
    "secret_unreadable": "Enter the secrets again, or give the service the key they need.",
    "no_mail_server": "Set EMAIL_URL, such as smtp+tls://user:password@mail.example.com:587.",
    "invalid_url": "Compare the address with Apprise's page of its service.",
    "unexpected_answer": "The receiver answers 2xx; redirects are not followed.",
}

hosts = {module: Host([module]) for module in (POSTING, RELAYING)}
"""What Apprise speaks is loaded where it is asked for, and only there."""


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt; `response` is a sentence without a secret."""

    success: bool
    response: str
    error_code: str | None = None
    latency_ms: float = 0.0


# --- The worker's part ----------------------------------------------------------------------------

_busy: set[ObjectId] = set()
_claiming = threading.Lock()


def deliver_due() -> bool:
    """Send the message that has been due the longest; tell whether there was one.

    This process sends a notification one message at a time, so that a receiver that is slow keeps
    one sender, and no more.
    """
    with _claiming:
        delivery = _claimed()
        if delivery is None:
            return False
        _busy.add(delivery["notification_id"])
    try:
        attempt(delivery)
    finally:
        with _claiming:
            _busy.discard(delivery["notification_id"])
    return True


def _claimed() -> Stored | None:
    now = naive(store.now())
    due = {
        "status": str(DeliveryStatus.PENDING),
        "next_attempt_at": {"$lte": now},
        "notification_id": {"$nin": list(_busy)},
    }
    found = store.collection(Delivery).find(due, sort=[("next_attempt_at", 1)], limit=20)
    return next((taken for one in found if (taken := _claim(one))), None)


def _claim(delivery: Stored) -> Stored | None:
    """Take a delivery that is as it was read; None where another came first."""
    as_read = {name: delivery[name] for name in ("_id", "status", "attempts", "next_attempt_at")}
    taken = {
        "token": secrets.token_hex(16),
        "attempts": delivery["attempts"] + 1,
        "next_attempt_at": naive(store.now()) + LEASE,
        "group_key": None,
    }
    deliveries = store.collection(Delivery)
    if not deliveries.update_one(as_read, {"$set": taken}).modified_count:
        return None
    # Events may have joined it until then.
    return deliveries.find_one({"_id": delivery["_id"], "token": taken["token"]})


def attempt(delivery: Stored) -> Outcome:
    """Send a claimed delivery, and note what became of it."""
    found = store.find_one(Notification, {"_id": delivery["notification_id"]})
    if found is None:
        outcome = Outcome(False, "The notification was removed.", "gone")
    elif delivery["event"] != TEST and found.get("enabled") is False:
        outcome = Outcome(False, "The notification is disabled.", "gone")
    else:
        outcome = send(Notification.from_document(found), delivery)
    _note(delivery, outcome)
    return outcome


def _note(delivery: Stored, outcome: Outcome) -> None:
    now = naive(store.now())
    status, due = DeliveryStatus.DELIVERED, None
    if not outcome.success:
        due = now + timedelta(seconds=pause_s(delivery["attempts"]))
        is_over = due > delivery["at"] + GIVEN_UP_AFTER or outcome.error_code == "gone"
        if is_over or delivery["event"] == TEST:
            status, due = DeliveryStatus.FAILED, None
        else:
            status = DeliveryStatus.PENDING
    ended = {
        "status": str(status),
        "next_attempt_at": due,
        "response": outcome.response[:1000],
        "token": None,
    }
    mine = {"_id": delivery["_id"], "token": delivery["token"]}
    store.collection(Delivery).update_one(mine, {"$set": ended})
    metrics.count_delivery(delivery["event"], str(status))
    if outcome.error_code != "gone":
        last = {"last_delivery_at": now, "last_delivery_status": str(status)}
        writes.keep(Notification, {"_id": delivery["notification_id"]}, last)


def pause_s(attempts: int) -> float:
    """Return the seconds between an attempt, counted from 1, and the next one."""
    return float(min(FIRST_PAUSE_S * 2 ** (attempts - 1), LONGEST_PAUSE_S))


def send_test(notification: Notification) -> Outcome:
    """Send a message with the event `test` now, as a delivery that is tried once."""
    due = naive(store.now()) + LEASE
    delivery = outbox.new_delivery(notification, TEST, due, attempts=1, token=secrets.token_hex(16))
    store.collection(Delivery).insert_one(delivery)
    return attempt(delivery)


# --- One message ----------------------------------------------------------------------------------


def send(notification: Notification, delivery: Stored) -> Outcome:
    """Send a message in a child; what goes wrong is an outcome, never an exception."""
    if notification.kind not in WAYS:
        return Outcome(False, "The notification is of a kind that is not known here.", "unknown")
    try:
        call, arguments = WAYS[notification.kind](notification, delivery)
    except _Failed as failure:
        return failure.outcome
    except UnreadableSecret as unreadable:
        return Outcome(False, unreadable.detail, "secret_unreadable")
    return _sent(call, arguments)


def post(url: str, headers: Mapping[str, str], body: str) -> Outcome:
    """Post a body in a child; what goes wrong is an outcome, never an exception."""
    return _sent(f"{POSTING}:webhook", {"url": url, "headers": dict(headers), "body": body})


def _sent(call: str, arguments: dict[str, Any]) -> Outcome:
    started = time.monotonic()
    try:
        answer = _asked(call, arguments)
    except _Failed as failure:
        return failure.outcome
    latency_ms = round((time.monotonic() - started) * 1000, 1)
    status, refused = answer.get("status", 200), answer.get("refused")
    if not 200 <= status < 300:
        said = f"The receiver answered {status}."
        return Outcome(False, said, "unexpected_answer", latency_ms)
    said = f"The receiver answered {status}." if "status" in answer else "Accepted."
    more = f" Refused for {', '.join(refused)}." if refused else ""
    return Outcome(True, said + more, None, latency_ms)


class _Failed(Exception):
    def __init__(self, response: str, error_code: str) -> None:
        super().__init__(response)
        self.outcome = Outcome(False, response, error_code)


def _asked(call: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a child's answer. Raises _Failed."""
    deadline = time.monotonic() + SEND_TIMEOUT_S
    started = None
    try:
        started = hosts[call.partition(":")[0]].start()
        left_s = max(0.05, deadline - time.monotonic())
        answer = started.ask(call, {**arguments, "timeout_s": left_s}, deadline)
    except ChildFailed as failure:
        error = as_error(failure, None)
        code = error.error_code if error.error_code in HINTS else "unknown"
        raise _Failed(error.message, code) from failure
    except ChildLate as late:
        raise _Failed(f"There was no answer within {SEND_TIMEOUT_S:g} s.", "timeout") from late
    except ChildError as error:
        raise _Failed("The message could not be sent: its process ended.", "unknown") from error
    finally:
        if started is not None:
            started.kill()
    return dict(answer)


def _webhook(notification: Notification, delivery: Stored) -> tuple[str, dict[str, Any]]:
    body = to_json(outbox.message_of(delivery)).decode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": settings.USER_AGENT,
        "X-ETL-Delivery": str(delivery["_id"]),
    }
    if secret := notification.reveal("secret"):
        headers["X-ETL-Signature"] = signature(secret, int(time.time()), body)
    return f"{POSTING}:webhook", {"url": _url(notification), "headers": headers, "body": body}


def signature(secret: str, moment: int, body: str) -> str:
    """Return what a receiver compares: of Unix seconds and a body, by the shared secret."""
    signed = hmac.new(secret.encode(), f"{moment}.{body}".encode(), hashlib.sha256)
    return f"t={moment},v1={signed.hexdigest()}"


def _email(notification: Notification, delivery: Stored) -> tuple[str, dict[str, Any]]:
    if not settings.EMAIL_HOST:
        raise _Failed("The service has no mail server.", "no_mail_server")
    recipients = addresses.mailboxes(_url(notification))
    subject, text = words_of(delivery)
    mail = EmailMessage(subject, text, settings.DEFAULT_FROM_EMAIL, recipients)
    mail.extra_headers["X-ETL-Delivery"] = str(delivery["_id"])
    server = {
        "host": settings.EMAIL_HOST,
        "port": settings.EMAIL_PORT,
        "username": settings.EMAIL_HOST_USER,
        "password": settings.EMAIL_HOST_PASSWORD,
        "tls": "tls" if settings.EMAIL_USE_SSL else "starttls" if settings.EMAIL_USE_TLS else "",
    }
    return f"{POSTING}:email", {
        "server": server,
        "sender": parseaddr(settings.DEFAULT_FROM_EMAIL)[1],
        "recipients": recipients,
        "message": "\r\n".join(mail.message().as_string().splitlines()),
    }


def _url(notification: Notification) -> str:
    """Return where the messages go. Raises _Failed where that is no address of its kind."""
    url = notification.reveal("url") or ""
    if problem := addresses.problem_of(notification.kind, url):
        raise _Failed(problem, "unknown")
    return url


def _apprise(notification: Notification, delivery: Stored) -> tuple[str, dict[str, Any]]:
    title, text = words_of(delivery)
    level = LEVELS.get(delivery["event"], "info")
    url = _url(notification)
    return f"{RELAYING}:relay", {"url": url, "title": title, "text": text, "level": level}


WAYS = {
    NotificationKind.WEBHOOK.value: _webhook,
    NotificationKind.EMAIL.value: _email,
    NotificationKind.APPRISE.value: _apprise,
}

TITLES = {
    "failed": "failed",
    "recovered": "runs again",
    "rejected": "rejected rows",
    "skipped": "skipped",
    "connection_down": "does not answer",
    "connection_up": "answers again",
}
LEVELS = {
    "failed": "failure",
    "recovered": "success",
    "rejected": "warning",
    "skipped": "warning",
    "connection_down": "failure",
    "connection_up": "success",
}
"""How Apprise colours a message; a test is `info`."""


def words_of(delivery: Stored) -> tuple[str, str]:
    """Return a message for people: a line, and a text."""
    if delivery["event"] == TEST:
        return "ETL: a test", "This is a test of a notification.\n"
    name = delivery["mapping_name"] or delivery["connection_name"]
    times = f" ({delivery['count']} times)" if delivery["count"] > 1 else ""
    subject = f"ETL: {name} {TITLES[delivery['event']]}{times}"
    run = delivery["run"] or {}
    facts = {
        "At": f"{delivery['at']:%Y-%m-%d %H:%M:%S} UTC",
        "Run": run.get("id"),
        "Slot": run.get("slot"),
        "Rows": f"{run['rows_read']} read, {run['rows_written']} written, "
        f"{run['rows_rejected']} rejected"
        if run
        else None,
    }
    error = run.get("error") or {}
    facts |= {"Error": error.get("message"), "What to do": error.get("hint")}
    lines = [f"{what}: {said}" for what, said in facts.items() if said]
    return " ".join(subject.split()), "\n".join([subject, "", *lines, ""])
