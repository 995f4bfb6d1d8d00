"""What surrounds every request: its context and its line in the log, CORS, its body, problems."""

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from corsheaders.middleware import CorsMiddleware as ListedHeadersCorsMiddleware
from django.conf import settings
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponsePermanentRedirect,
    StreamingHttpResponse,
)
from django.middleware.common import CommonMiddleware as HostCheckingCommonMiddleware
from django.utils.encoding import escape_uri_path

from common.admin.error_pages import is_admin, refusal_response
from common.api.problems import Refused, translated
from common.context import Context, use
from common.exceptions import BodyTooLarge, ServiceError
from common.headers import guard
from common.metrics import count_request
from common.proxies import client_address

Handler = Callable[[HttpRequest], HttpResponseBase]

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/=-]{1,100}")
BUSY = "etl_engine.busy"
"""In a request's environ: its body was not read, as too many threads wait for others."""

access_log = logging.getLogger("access")


class RequestMiddleware:
    """Gives a request its context, and the access log a line of it.

    The line has the path as the client spells it and no query: nothing in it ends the line, and
    no secret gets there.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        line = Line(request, context_of(request))
        with use(line.context):
            response = self.get_response(request)
            response["X-Request-ID"] = str(line.context.request_id)
            guard(request, response)
            count_request(request, response.status_code, time.perf_counter() - line.started)
            if isinstance(response, StreamingHttpResponse):
                parts: Any = response.streaming_content
                response.streaming_content = Counted(line, response.status_code, parts)
            elif isinstance(response, HttpResponse):
                line.write(response.status_code, len(response.content))
        return response


def context_of(request: HttpRequest) -> Context:
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    return Context(
        via="admin" if is_admin(request) else "api",
        address=client_address(request.META),
        request_id=given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16),
    )


class Line:
    """The line of one request; its time runs from here."""

    def __init__(self, request: HttpRequest, context: Context) -> None:
        self.started = time.perf_counter()
        self.method = request.method
        self.path = escape_uri_path(request.path)
        self.context = context

    def write(self, status: int, size: int) -> None:
        said = {
            "address": self.context.address,
            "method": self.method,
            "path": self.path,
            "status": status,
            "bytes": size,
            "ms": int((time.perf_counter() - self.started) * 1000),
        }
        access_log.info(
            '%(address)s "%(method)s %(path)s" %(status)s %(bytes)s bytes %(ms)s ms',
            said,
            extra=said,
        )


class Counted:
    """The parts of a long answer, made in their request's context; its line follows the last."""

    def __init__(self, line: Line, status: int, parts: Iterable[bytes]) -> None:
        self.line = line
        self.status = status
        self.parts = parts
        self.sent = 0

    def __iter__(self) -> Iterator[bytes]:
        with use(self.line.context):
            for part in self.parts:
                self.sent += len(part)
                yield part

    def close(self) -> None:
        """Called by the server at the end, also where the client did not want it all."""
        self.line.write(self.status, self.sent)


class CorsMiddleware(ListedHeadersCorsMiddleware):
    """Allows a trusted origin every header it asks for.

    Browsers take `Access-Control-Allow-Headers: *` literally once credentials are sent, so the
    answer to a preflight repeats the headers that it names.
    """

    async_capable = False

    def add_response_headers(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        response = super().add_response_headers(request, response)
        asked = request.headers.get("Access-Control-Request-Headers")
        if asked and response.has_header("Access-Control-Allow-Headers"):
            response["Access-Control-Allow-Headers"] = asked
        return response


class Busy(ServiceError):
    status = 503
    code = "busy"
    headers = {"Retry-After": "1"}

    def __init__(self) -> None:
        super().__init__("Too many requests wait for their bodies; try again in a moment.")


class BodyMiddleware:
    """Refuses a body that is too large, was cut off, or finds nobody to wait for it.

    Before the address is looked up: who sends it may ask for one that there is not.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if refusal := self._refusal(request):
            return refusal_response(request, refusal)
        return self.get_response(request)

    def _refusal(self, request: HttpRequest) -> ServiceError | None:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        if BUSY in request.META:
            return Busy()
        if length > settings.MAX_BODY_BYTES:
            return BodyTooLarge(settings.MAX_BODY_BYTES)
        if length and len(request.body) < length:
            return Refused(400, "invalid", "The body ended before its Content-Length was there.")
        return None


ASKED_BY_ADDRESS = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})


class CommonMiddleware(HostCheckingCommonMiddleware):
    """Answers checks of health under any name: who asks knows an address, not the host."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        if request.path_info.rstrip("/") in ASKED_BY_ADDRESS:
            return None
        return super().process_request(request)


class ProblemMiddleware:
    """Turns what middleware and routing raise into a problem; the admin keeps its own pages, and
    has a page for a store that is down.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, raised: Exception) -> HttpResponse | None:
        error = translated(raised)
        if is_admin(request) and error.status != 503 and error is not raised:
            return None
        return refusal_response(request, error)
