"""Who a request of the API comes from: a token, a session, or anybody where it is open."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from access import attempts, tokens
from access.callers import OPEN, Caller
from access.memberships import role_of
from common import context
from common.documents import store
from common.exceptions import ServiceError

REALM = 'Bearer realm="etl-engine"'


class AuthenticationRequired(ServiceError):
    status = 401
    code = "authentication_required"
    headers = {"WWW-Authenticate": REALM}

    def __init__(self) -> None:
        super().__init__("Send a token, as `Authorization: Bearer <token>`, or log in.")


class InvalidToken(ServiceError):
    status = 401
    code = "invalid_token"
    headers = {"WWW-Authenticate": f'{REALM}, error="invalid_token"'}

    def __init__(self) -> None:
        super().__init__("The token is wrong, has expired or was ended; make a new one.")


class Authentication(BaseAuthentication):
    """Makes a `Caller` the request's user; a header decides alone, whatever session is beside it.

    Raises InvalidToken, and TooManyAttempts where too many were wrong before.
    """

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is not None:
            caller = by_header(header)
        elif settings.API_AUTH == "open":
            caller = OPEN
        elif (found := by_session(request._request)) is not None:
            caller = found
        else:
            return None
        context.identify(caller.name)
        return caller, None

    def authenticate_header(self, request: Request) -> str:
        return REALM


def by_header(header: str) -> Caller:
    scheme, _, text = header.partition(" ")
    with store.request_timeout():
        caller = tokens.caller_of(text.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            attempts.note()
            raise InvalidToken
    return caller


def by_session(request: HttpRequest) -> Caller | None:
    """Return who is logged in, None where nobody is."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return None
    with store.request_timeout():
        user: Any = get_user(request)
        if not user.is_authenticated:
            return None
        return Caller(user.get_username(), role_of(user), "session", user.pk)
