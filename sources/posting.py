"""What a child can be asked to post: it dials nothing but addresses that may be dialled.

What goes wrong is a Failure that the host turns back into the `SourceError` it was.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from children import child
from children.frames import Json
from sources import network
from sources.clock import Clock
from sources.errors import SourceError, SourceTimeout, SourceUnreachable, to_json

PORTS = {"http": 80, "https": 443}


def post(
    url: str, headers: Mapping[str, str], body: str, timeout_s: float, answer_bytes: int = 0
) -> Json:
    """Post a body; return the `status` of the answer, and as `body` its first bytes as text.

    A redirect is an answer, and not followed. A login in the URL goes into a header. The child
    notes "sent" before it sends: after that the receiver may have heard.
    """
    with errors_told():
        clock, parts = Clock(timeout_s), urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or PORTS[parts.scheme]
        sock = dialled(host, port, clock)
        connection = http.client.HTTPConnection(host, port)
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, port)
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        connection.sock = sock
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sock.settimeout(max(0.05, clock.remaining_s()))
        child.note("sent")
        connection.request("POST", path, body.encode(), {**headers, **_account_in(url)})
        answer = connection.getresponse()
        said = answer.read(answer_bytes) if answer_bytes else b""
        return {"status": answer.status, "body": said.decode(errors="replace")}


def _account_in(url: str) -> dict[str, str]:
    """Return the login that a URL carries, as a header has it."""
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def dialled(host: str, port: int, clock: Clock) -> socket.socket:
    """Return a connection to a host, at an address that may be dialled. Raises SourceError."""
    sock = network.dial(network.resolve(host, clock), port, f"{host}:{port}", clock)
    sock.settimeout(max(0.05, clock.remaining_s()))
    return sock


@contextmanager
def errors_told() -> Iterator[None]:
    """Have what goes wrong in a conversation told as a Failure."""
    try:
        yield
    except SourceError as exc:
        raise child.Failure(*to_json(exc)) from exc
    except TimeoutError as exc:
        raise child.Failure(*to_json(SourceTimeout("There was no answer in time."))) from exc
    except ssl.SSLError as exc:
        said = f"The encrypted connection failed: {exc.reason or type(exc).__name__}."
        raise failure(said, "tls_failed") from exc
    except (OSError, http.client.HTTPException) as exc:
        said = f"The connection broke off: {type(exc).__name__}."
        raise failure(said, "unexpected_answer") from exc


def failure(message: str, code: str) -> child.Failure:
    return child.Failure(*to_json(SourceUnreachable(message, error_code=code)))
