"""Refusals as pages, for the people at the admin."""

import sys

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from common.api.problems import UNEXPECTED, Refused, problem, problem_response, translated
from common.exceptions import NotFound, ServiceError


def is_admin(request: HttpRequest) -> bool:
    return request.path == "/admin" or request.path.startswith("/admin/")


def refusal_response(request: HttpRequest, error: ServiceError) -> HttpResponse:
    """Return a refusal as a page to the admin, as a problem to everyone else.

    The page asks nothing of the store, which may be what is down.
    """
    if not is_admin(request):
        return problem_response(error)
    return HttpResponse(
        render_to_string("common/admin/refusal.html", problem(error)),
        status=error.status,
        headers={**error.headers, "Cache-Control": "no-store"},
    )


# --- Django's own error pages, outside of views ---------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refusal_response(request, translated(exception))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refusal_response(request, NotFound(f"There is nothing at {request.path}."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refusal_response(request, translated(exception))


def expired(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Refuse a form whose token is not that of the login: it was signed out, or another site."""
    said = "The form is no longer valid: you were signed out since. Nothing was changed."
    return refusal_response(request, Refused(403, "forbidden", said))


def server_error(request: HttpRequest) -> HttpResponse:
    raised = sys.exc_info()[1]
    return refusal_response(request, translated(raised) if raised else UNEXPECTED)
