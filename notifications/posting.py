"""What a child can be asked to send: it dials nothing but addresses that may be dialled.

What goes wrong is a Failure that the host turns back into the `SourceError` it was.
"""

from __future__ import annotations

import http.client
import smtplib
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from children import child
from children.frames import Json
from sources import network
from sources.clock import Clock
from sources.errors import SourceError, SourceTimeout, SourceUnreachable, to_json

PORTS = {"http": 80, "https": 443}


def webhook(url: str, headers: Mapping[str, str], body: str, timeout_s: float) -> Json:
    """Post a body; return the `status` of the answer. A redirect is an answer, and not followed."""
    with _errors_told():
        clock, parts = Clock(timeout_s), urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or PORTS[parts.scheme]
        sock = _dialled(host, port, clock)
        connection = http.client.HTTPConnection(host, port)
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, port)
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        connection.sock = sock
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sock.settimeout(max(0.05, clock.remaining_s()))
        connection.request("POST", path, body.encode(), dict(headers))
        return {"status": connection.getresponse().status}


def email(
    server: Mapping[str, Any],
    sender: str,
    recipients: Sequence[str],
    message: str,
    timeout_s: float,
) -> Json:
    """Hand a message to a mail server; return the recipients that it `refused`."""
    with _errors_told():
        clock = Clock(timeout_s)
        with _Mail(server, clock) as mail:
            if server["tls"] == "starttls":
                mail.starttls(context=ssl.create_default_context())
            if server["username"]:
                mail.login(server["username"], server["password"])
            return {"refused": sorted(mail.sendmail(sender, recipients, message.encode()))}


class _Mail(smtplib.SMTP):
    """A mail server, reached at an address that may be dialled."""

    def __init__(self, server: Mapping[str, Any], clock: Clock) -> None:
        self.server, self.clock = server, clock
        super().__init__(
            server["host"], server["port"], socket.gethostname(), max(0.05, clock.remaining_s())
        )

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = _dialled(host, port, self.clock)
        sock.settimeout(timeout)
        if self.server["tls"] != "tls":
            return sock
        return ssl.create_default_context().wrap_socket(sock, server_hostname=host)


def _dialled(host: str, port: int, clock: Clock) -> socket.socket:
    sock = network.dial(network.resolve(host, clock), port, f"{host}:{port}", clock)
    sock.settimeout(max(0.05, clock.remaining_s()))
    return sock


@contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except SourceError as exc:
        raise child.Failure(*to_json(exc)) from exc
    except TimeoutError as exc:
        raise child.Failure(*to_json(SourceTimeout("There was no answer in time."))) from exc
    except ssl.SSLError as exc:
        said = f"The encrypted connection failed: {exc.reason or type(exc).__name__}."
        raise failure(said, "tls_failed") from exc
    except smtplib.SMTPAuthenticationError as exc:
        said = f"The mail server refused the login ({exc.smtp_code})."
        raise failure(said, "authentication_failed") from exc
    except smtplib.SMTPRecipientsRefused as exc:
        raise failure("The mail server refused every recipient.", "permission_denied") from exc
    except smtplib.SMTPResponseException as exc:
        raise failure(f"The mail server refused the message ({exc.smtp_code}).", "unknown") from exc
    except (OSError, http.client.HTTPException) as exc:
        said = f"The connection broke off: {type(exc).__name__}."
        raise failure(said, "unexpected_answer") from exc


def failure(message: str, code: str) -> child.Failure:
    """Return what tells the host that a message did not arrive, and why."""
    return child.Failure(*to_json(SourceUnreachable(message, error_code=code)))
