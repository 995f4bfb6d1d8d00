"""What a child can be asked to send: it dials nothing but addresses that may be dialled.

What goes wrong is a Failure that the host turns back into the `SourceError` it was.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from children.frames import Json
from sources import posting
from sources.clock import Clock
from sources.posting import dialled, errors_told, failure

webhook = posting.post


def email(
    server: Mapping[str, Any],
    sender: str,
    recipients: Sequence[str],
    message: str,
    timeout_s: float,
) -> Json:
    """Hand a message to a mail server; return the recipients that it `refused`."""
    with errors_told(), _refusals_told():
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
        sock = dialled(host, port, self.clock)
        sock.settimeout(timeout)
        if self.server["tls"] != "tls":
            return sock
        return ssl.create_default_context().wrap_socket(sock, server_hostname=host)


@contextmanager
def _refusals_told() -> Iterator[None]:
    try:
        yield
    except smtplib.SMTPAuthenticationError as exc:
        said = f"The mail server refused the login ({exc.smtp_code})."
        raise failure(said, "authentication_failed") from exc
    except smtplib.SMTPRecipientsRefused as exc:
        raise failure("The mail server refused every recipient.", "permission_denied") from exc
    except smtplib.SMTPResponseException as exc:
        raise failure(f"The mail server refused the message ({exc.smtp_code}).", "unknown") from exc
