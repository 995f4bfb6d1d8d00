"""What a child can be asked to send by Apprise: it dials what may be dialled, and reads no file.

Loading this module loads all that Apprise can speak, some 50 MB: it has a forker of its own.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import requests
from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat, PersistentStoreMode
from apprise.manager_plugins import NotificationManager
from urllib3.exceptions import NameResolutionError

from children import guard
from children.frames import Json
from sources.posting import failure

NotificationManager().load_modules()
# What they say may hold the address, and with it its secrets.
logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")


def relay(url: str, title: str, text: str, level: str, timeout_s: float) -> Json:
    """Send a text to the service of an Apprise address; `level` is one of Apprise's `NotifyType`.

    Nothing that is told of a failure names the address.
    """
    answers = _noted_answers()
    asset = AppriseAsset(
        app_id="ETL",
        app_desc="ETL Engine Backend",
        async_mode=False,
        http_redirects=False,
        storage_mode=PersistentStoreMode.MEMORY,
        service_timeout=0,
    )
    refused = guard.confine()
    service = Apprise.instantiate(url, asset=asset)
    if not isinstance(service, NotifyBase):
        raise failure("Apprise does not take this address: it lacks something.", "invalid_url")
    service.socket_connect_timeout = service.socket_read_timeout = timeout_s
    sender = Apprise(asset=asset)
    sender.add(service)
    if not sender.notify(body=text, title=title, notify_type=level, body_format=NotifyFormat.TEXT):
        raise failure(*_reason(refused, answers))
    return {}


def _noted_answers() -> list[int | requests.RequestException]:
    """Return the list that each answer's status, or what came in its place, is added to."""
    answers: list[int | requests.RequestException] = []
    send = requests.Session.send

    def noted(session: Any, request: Any, **options: Any) -> requests.Response:
        try:
            answer = send(session, request, **options)
        except requests.RequestException as exc:
            answers.append(exc)
            raise
        answers.append(answer.status_code)
        return answer

    # This process sends one message, and ends.
    requests.Session.send = noted  # type: ignore[method-assign, assignment]
    return answers


def _reason(refused: list[str], answers: list[int | requests.RequestException]) -> tuple[str, str]:
    """Return a sentence and a code that say why a message was not taken."""
    if refused:
        return "The address leads where this service may not connect.", "host_not_allowed"
    if not answers:
        return "Apprise could not send the message to this address.", "invalid_url"
    last = answers[-1]
    if isinstance(last, int):
        return f"The service did not take the message: it answered {last}.", "unexpected_answer"
    if isinstance(last, requests.exceptions.SSLError):
        return "The encrypted connection failed.", "tls_failed"
    if isinstance(last, requests.Timeout):
        return "There was no answer in time.", "timeout"
    if isinstance(_cause(last), NameResolutionError):
        return "The host was not found.", "host_not_found"
    return "The service cannot be reached.", "connection_refused"


def _cause(error: requests.RequestException) -> Any:
    return getattr(error.args[0], "reason", None) if error.args else None
