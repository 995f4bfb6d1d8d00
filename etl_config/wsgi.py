"""The WSGI application; it refuses to start with settings that cannot work."""

import os
from collections.abc import Callable, Iterable
from io import BytesIO
from threading import BoundedSemaphore
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from common import metrics
from common.middleware import BUSY
from etl_config.checks import refuse_wrong_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_config.settings")

Environ = dict[str, Any]

CGI = {
    "CONTENT_LENGTH", "CONTENT_TYPE", "GATEWAY_INTERFACE", "PATH_INFO", "QUERY_STRING",
    "REMOTE_ADDR", "REQUEST_METHOD", "SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT",
    "SERVER_PROTOCOL", "SERVER_SOFTWARE",
}  # fmt: skip
PROCESS = frozenset(os.environ)
"""HTTP_PROXY, too, is a variable of the process, and no header."""
DISCARDED_BYTES = 16 * 1024 * 1024
PIECE_BYTES = 64 * 1024

body_places = BoundedSemaphore(settings.BODY_THREADS)


def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    return django_application(with_body(of_request(environ)), start_response)


def of_request(environ: Environ) -> Environ:
    """Return what the environ says of the request.

    granian puts the whole environment of the process beside it, keys and passwords included.
    """
    return {
        name: value
        for name, value in environ.items()
        if name in CGI or name[:5] == "wsgi." or (name[:5] == "HTTP_" and name not in PROCESS)
    }


def with_body(environ: Environ) -> Environ:
    """Return the request with its body read, so that no view waits for a slow client.

    At most `BODY_THREADS` wait for bodies. Where all of these do, the request is marked `BUSY`;
    the middleware refuses it, and whatever body is too large or too short.
    """
    is_chunked = "HTTP_TRANSFER_ENCODING" in environ
    if not is_chunked and environ.get("CONTENT_LENGTH", "0") in ("", "0"):
        return environ
    if not body_places.acquire(blocking=False):
        return environ | {"wsgi.input": BytesIO(), BUSY: True}
    try:
        body = read_body(environ["wsgi.input"])
    finally:
        body_places.release()
    # Django reads only what has a length. The one that a client tells stays, to be compared.
    length = str(len(body)) if is_chunked else environ["CONTENT_LENGTH"]
    return environ | {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": length}


def read_body(stream: Any) -> bytes:
    """Return a body, or its first bytes up to one over the limit.

    The rest is thrown away, as far as is reasonable: a client that still sends when the
    connection is closed may not see the answer.
    """
    body: bytes = stream.read(settings.MAX_BODY_BYTES + 1)
    if len(body) > settings.MAX_BODY_BYTES:
        discarded = 0
        while discarded < DISCARDED_BYTES and (piece := stream.read(PIECE_BYTES)):
            discarded += len(piece)
    return body


# Before the first client of the store is made.
metrics.watch_store()
django_application = get_wsgi_application()

refuse_wrong_settings()
