"""What a caller must be for a request, in the order in which it is refused."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.middleware.csrf import CsrfViewMiddleware
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from access.authentication import AuthenticationRequired
from access.callers import Caller
from common.api.roles import Role, role_for
from common.exceptions import ServiceError


class Forbidden(ServiceError):
    status = 403
    code = "forbidden"

    def __init__(self, asked: Role, role: Role) -> None:
        has = f'you are "{role.word}"' if role else "you have no role"
        super().__init__(f'This takes the role "{asked.word}"; {has}.')


class CsrfFailed(ServiceError):
    status = 403
    code = "csrf_failed"


class IsKnown(BasePermission):
    """Refuses who is nobody, but where everybody may come. Raises AuthenticationRequired."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if caller_of(request) is None and not is_open(view, request):
            raise AuthenticationRequired
        return True


class OriginIsRight(BasePermission):
    """Refuses writes that another site has a browser send. Raises CsrfFailed."""

    def has_permission(self, request: Request, view: Any) -> bool:
        caller = caller_of(request)
        if request.method in SAFE_METHODS or request.method == "TRACE":
            if asks_elsewhere(view) and is_lent(caller) and is_from_another_site(request):
                raise CsrfFailed("A page of another site may not have a source asked.")
            return True
        if settings.API_AUTH == "open" and is_foreign(request):
            raise CsrfFailed(
                f"This page's origin, {request.META['HTTP_ORIGIN'][:100]}, may not write here; "
                "name it in CORS_ORIGINS."
            )
        if caller is not None and caller.by == "session" and (why := CsrfCheck.failure(request)):
            raise CsrfFailed(f"Send the session's CSRF token as X-CSRFToken. {why}")
        return True


class RoleMay(BasePermission):
    """Refuses who lacks the role that the view's `access` asks for. Raises Forbidden."""

    def has_permission(self, request: Request, view: Any) -> bool:
        asked, caller = asked_role(view, request), caller_of(request)
        role = caller.role if caller else Role.EVERYONE
        if role < asked:
            raise Forbidden(asked, role)
        return True


def caller_of(request: Request) -> Caller | None:
    """Return who asks, None where nobody said so."""
    caller: Any = request.user
    return cast("Caller | None", caller)


def is_open(view: Any, request: Request) -> bool:
    """Tell whether everybody may do this; what an open view does not serve is open, too."""
    return Role.EVERYONE in (asked_role(view, request), most_asked(view))


def most_asked(view: Any) -> Role:
    """Return the highest role that any action of a view asks for."""
    return max(getattr(view, "access", {}).values(), default=Role.ADMIN)


def asked_role(view: Any, request: Request) -> Role:
    if request.method == "OPTIONS":
        return min(Role.VIEWER, most_asked(view))
    method = "get" if request.method == "HEAD" else str(request.method).lower()
    return role_for(view, getattr(view, "action", None) or method)


def asks_elsewhere(view: Any) -> bool:
    """Tell whether the action connects to a source, which a read may do as well."""
    return getattr(view, "action", None) in getattr(view, "asks_sources", ())


def is_lent(caller: Caller | None) -> bool:
    """Tell whether a browser lends the right by itself, whatever page it shows."""
    return caller is not None and caller.by != "token"


def is_from_another_site(request: Request) -> bool:
    """Tell whether a browser says that the page of another site asks, and that is not one we know.

    An image or a link of such a page sends no `Origin`; what it is for, browsers say themselves.
    """
    if request.META.get("HTTP_ORIGIN") is not None:
        return is_foreign(request)
    return request.META.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site")


def is_foreign(request: Request) -> bool:
    """Tell whether a page of another site asks: neither our own address nor one we know."""
    origin = request.META.get("HTTP_ORIGIN")
    own = f"{request.scheme}://{request.get_host()}"
    return origin is not None and origin not in (own, *settings.CORS_ALLOWED_ORIGINS)


class CsrfCheck(CsrfViewMiddleware):
    """Django's own check, which says why instead of answering with a page."""

    def _reject(self, request: Any, reason: str) -> Any:
        return reason

    @classmethod
    def failure(cls, request: Request) -> str | None:
        check = cls(lambda request: None)  # type: ignore[arg-type]
        check.process_request(request._request)
        found: Any = check.process_view(request._request, None, (), {})  # type: ignore[arg-type]
        return found if isinstance(found, str) else None
