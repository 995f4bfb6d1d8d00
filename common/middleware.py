"""What surrounds every request: CORS for the configured origins, problems for what escapes."""

from collections.abc import Awaitable, Callable

from corsheaders.middleware import CorsMiddleware as ListedHeadersCorsMiddleware
from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponsePermanentRedirect,
)
from django.middleware.common import CommonMiddleware as HostCheckingCommonMiddleware
from django.utils.deprecation import MiddlewareMixin

from common.pages import is_admin, refusal_response
from common.problems import translated

Handler = Callable[[HttpRequest], HttpResponseBase]


class CorsMiddleware(ListedHeadersCorsMiddleware):
    """Allows a trusted origin every header it asks for.

    Browsers take `Access-Control-Allow-Headers: *` literally once credentials are sent, so the
    answer to a preflight repeats the headers that it names.
    """

    def add_response_headers(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        response = super().add_response_headers(request, response)
        asked = request.headers.get("Access-Control-Request-Headers")
        if asked and response.has_header("Access-Control-Allow-Headers"):
            response["Access-Control-Allow-Headers"] = asked
        return response


class CommonMiddleware(HostCheckingCommonMiddleware):
    """Answers the health check under any name: who checks it knows an address, not the host."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        if request.path_info.rstrip("/") == "/health":
            return None
        return super().process_request(request)


class _OfTheAdmin(MiddlewareMixin):
    """Keeps a middleware to the admin's pages: nobody logs in to the API."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if is_admin(request):
            return super().__call__(request)
        return self.get_response(request)


class SessionMiddleware(_OfTheAdmin, sessions.SessionMiddleware):
    pass


class AuthenticationMiddleware(_OfTheAdmin, auth.AuthenticationMiddleware):
    pass


class MessageMiddleware(_OfTheAdmin, messages.MessageMiddleware):
    pass


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
