"""What surrounds every request: CORS for the configured origins, problems for what escapes.

A request of the API goes from `ApiMiddleware` straight to its view; what comes after it in the
settings is for pages.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from corsheaders.middleware import CorsMiddleware as ListedHeadersCorsMiddleware
from django.conf import settings
from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.core.handlers.exception import convert_exception_to_response
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponsePermanentRedirect,
)
from django.middleware.common import CommonMiddleware as HostCheckingCommonMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.cache import patch_vary_headers
from django.utils.deprecation import MiddlewareMixin

from common.admin.pages import is_admin, refusal_response
from common.api.problems import translated

Handler = Callable[[HttpRequest], HttpResponseBase]


class CorsMiddleware(ListedHeadersCorsMiddleware):
    """Allows a trusted origin every header it asks for.

    Browsers take `Access-Control-Allow-Headers: *` literally once credentials are sent, so the
    answer to a preflight repeats the headers that it names.
    """

    async_capable = False

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, in fewer steps where no browser asks from elsewhere."""
        response: Any
        if "HTTP_ORIGIN" in request.META:
            response = super().__call__(request)
            return response
        response = self.get_response(request)
        # Patching parses what is there, and there is hardly ever anything.
        if response.has_header("Vary"):
            patch_vary_headers(response, ("origin",))
        else:
            response["Vary"] = "origin"
        return response

    def add_response_headers(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        response = super().add_response_headers(request, response)
        asked = request.headers.get("Access-Control-Request-Headers")
        if asked and response.has_header("Access-Control-Allow-Headers"):
            response["Access-Control-Allow-Headers"] = asked
        return response


class ApiMiddleware:
    """Hands a request of the API past the middleware of the pages, which would do nothing for it.

    Its host and scheme are checked by Django's own, and it gets their headers, but for those that
    say what a page may do with others.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        # Django wraps each middleware in a function that has all its attributes, so that each
        # leads to the next, up to the handler itself.
        self.view: Any = get_response
        while hasattr(self.view, "get_response"):
            self.view = self.view.get_response
        self.checked: Any = convert_exception_to_response(self._checked)
        security: Any = SecurityMiddleware(self.view)
        security.referrer_policy = security.cross_origin_opener_policy = None
        self.security = security
        self.common = HostCheckingCommonMiddleware(self.view)
        self.framing = settings.X_FRAME_OPTIONS
        self.prefix = f"{settings.API_V1_PREFIX}/"

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(self.prefix):
            return self.get_response(request)
        response: Any = self.common.process_response(request, self.checked(request))
        response.headers.setdefault("X-Frame-Options", self.framing)
        self.security.process_response(request, response)
        return response

    def _checked(self, request: HttpRequest) -> Any:
        return (
            self.security.process_request(request)
            or self.common.process_request(request)
            or self.view(request)
        )


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
