"""Who is at the admin."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

from access.memberships import role_of
from common import context
from common.admin.error_pages import is_admin
from common.api.roles import Role

ALWAYS = ("/admin/login/", "/admin/logout/")


class PersonMiddleware:
    """Says in the context who is at the admin; somebody without a role is refused everywhere."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *args: Any) -> None:
        if not is_admin(request):
            return
        user: Any = request.user
        if not user.is_authenticated:
            return
        context.identify(user.get_username())
        if role_of(user) is Role.EVERYONE and request.path not in ALWAYS:
            raise PermissionDenied
