"""Who is at the admin: the person of the session, where nobody has been named before."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from common import context
from common.admin.error_pages import is_admin


class ActorMiddleware:
    """Stands behind the one that knows the session's person."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if is_admin(request) and context.current().actor is None and request.user.is_authenticated:
            context.identify(request.user.get_username())
        return self.get_response(request)
