"""The test of a notification: a message is sent now."""

from __future__ import annotations

from typing import Any

from children.places import NoPlace
from common.context import client_address
from connections.refusals import as_refusals
from notifications import sending
from notifications.models import Notification
from sources.asking import probes
from sources.errors import TooManyProbes


def try_notification(notification: Notification) -> dict[str, Any]:
    """Return how a test went, as answers have it. Raises SourceFailed where too many run."""
    with as_refusals():
        try:
            with probes.take(client_address(), notification.url_shown or ""):
                outcome = sending.send_test(notification)
        except NoPlace as full:
            raise TooManyProbes("Too many tests are running; try again in a moment.") from full
    details: dict[str, Any] = {"kind": notification.kind}
    if outcome.latency_ms:
        details["latency_ms"] = outcome.latency_ms
    if outcome.error_code:
        details["error_code"] = outcome.error_code
        details["hint"] = sending.HINTS.get(outcome.error_code, "See this service's log.")
    return {"success": outcome.success, "message": outcome.response, "details": details}
