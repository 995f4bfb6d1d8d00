"""Sessions, one's own account, tokens and users over REST."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, ClassVar, cast

from bson import ObjectId
from django.contrib.auth import authenticate, get_user, login, logout, update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from access import attempts, tokens
from access.authentication import REALM
from access.callers import Caller
from access.memberships import role_of
from access.models import Account, Token
from access.permissions import CsrfFailed, Forbidden
from access.serializers import (
    LoginSerializer,
    MeSerializer,
    NewTokenSerializer,
    PasswordChangeSerializer,
    SessionSerializer,
    TokenSerializer,
    UserSerializer,
    with_roles,
)
from common import context
from common.api.endpoints import names_for
from common.api.etags import refuse_if_stale
from common.api.parameters import ListParameters
from common.api.roles import ROLES, Access, Role
from common.api.views import DocumentViewSet, records_access
from common.documents import store
from common.documents.codecs import codec_of
from common.documents.models import field_of
from common.documents.store import Stored
from common.exceptions import ServiceError

NOBODY = ObjectId("000000000000000000000000")


class InvalidCredentials(ServiceError):
    status = 401
    code = "invalid_credentials"
    headers = {"WWW-Authenticate": REALM}

    def __init__(self) -> None:
        super().__init__("The user name or the password is wrong.")


class StoreViewSet(ViewSet):
    """A view of no records, within the time that a request may wait for the store.

    One that hashes passwords, which takes its time by intent, gives each operation its own.
    """

    access: ClassVar[Access]
    hashes_passwords: ClassVar[bool] = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with nullcontext() if self.hashes_passwords else store.request_timeout():
            return super().dispatch(request, *args, **kwargs)

    def caller(self) -> Caller:
        caller: Any = self.request.user
        return cast("Caller", caller)


def described(name: str, role: Role) -> dict[str, Any]:
    """Return what `GET me` says."""
    return {"username": name, "role": role.word, "may": names_for(role)}


class SessionViewSet(StoreViewSet):
    access: ClassVar[Access] = {"create": Role.EVERYONE, "destroy": Role.VIEWER}
    hashes_passwords = True

    def get_authenticators(self) -> list[Any]:
        """Ask nobody who they are who is about to say it."""
        is_login = self.request is not None and self.request.method == "POST"
        return [] if is_login else super().get_authenticators()

    @extend_schema(request=LoginSerializer, responses=SessionSerializer)
    def create(self, request: Request) -> Response:
        """Log in with a name and a password, as a frontend does for its user."""
        attempts.refuse_if_spent()
        body = LoginSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        user: Any = attempts.checked(lambda: authenticate(request._request, **body.validated_data))
        if user is None:
            raise InvalidCredentials
        role = role_of(user)
        if role is Role.EVERYONE:
            raise Forbidden(Role.VIEWER, role)
        login(request._request, user)
        context.identify(user.get_username())
        told = described(user.get_username(), role)
        return Response({**told, "csrf_token": get_token(request._request)})

    @extend_schema(request=None, responses={204: None})
    def destroy(self, request: Request) -> Response:
        """Log out; a token is not ended by this."""
        logout(request._request)
        return Response(status=204)


class MeViewSet(StoreViewSet):
    access: ClassVar[Access] = {"retrieve": Role.VIEWER}

    @extend_schema(responses=MeSerializer)
    def retrieve(self, request: Request) -> Response:
        """Tell who one is, by which role, and which operations that role may."""
        return Response(described(self.caller().name, self.caller().role))


class PasswordViewSet(StoreViewSet):
    access: ClassVar[Access] = {"update": Role.VIEWER}
    hashes_passwords = True

    @extend_schema(request=PasswordChangeSerializer, responses={204: None})
    def update(self, request: Request) -> Response:
        """Change one's own password, by a session; one's other sessions end."""
        attempts.refuse_if_spent()
        account = self._account(request)
        body = PasswordChangeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        user: Any = get_user(request._request)
        if not attempts.checked(lambda: user.check_password(asked["old"])):
            raise ValidationError({"old": ["This is not the password."]})
        account.set_password(asked["new"])
        account.save()
        user.password, request._request.user = account.password, user
        update_session_auth_hash(request._request, user)
        return Response(status=204)

    def _account(self, request: Request) -> Account:
        user: Any = get_user(request._request)
        if self.caller().by == "token" or not user.is_authenticated:
            raise CsrfFailed("A password is changed by a session; log in with `POST session`.")
        document = store.find_one(Account, {"_id": user.pk})
        return Account.from_document(document or {})


class TokenParameters(ListParameters):
    """Those of every list, and `owner`, which the view has seen to."""

    def _read(self, name: str, text: str, asked: dict[str, Any]) -> None:
        if name != "owner":
            super()._read(name, text, asked)


OWNER = OpenApiParameter(
    "owner", str, description="Admins: the tokens of this user; empty, those without an owner."
)


def owner_named(username: str) -> ObjectId | None:
    """Return the id of a user, None for nobody."""
    if not username:
        return None
    found = store.find_one(Account, {"username": username}, {"_id": 1})
    return found["_id"] if found else NOBODY


class TokenViewSet(DocumentViewSet):
    """The tokens of one's own; an admin sees and ends those of others."""

    serializer_class = TokenSerializer
    parameters = TokenParameters(
        Token,
        filters=["name", "role"],
        search=["name"],
        ordered_by=["last_used_at", "expires_at"],
    )
    access: ClassVar[Access] = {
        "list": Role.VIEWER,
        "create": Role.VIEWER,
        "destroy": Role.VIEWER,
    }

    def caller(self) -> Caller:
        caller: Any = self.request.user
        return cast("Caller", caller)

    def scope(self) -> Stored:
        caller = self.caller()
        if caller.role is not Role.ADMIN:
            return {"owner_id": caller.user_id or NOBODY}
        if self.action != "list":
            return {}
        owner = self.request.query_params.get("owner")
        return {"owner_id": caller.user_id if owner is None else owner_named(owner)}

    @extend_schema(parameters=[OWNER])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """List one's own tokens; `owner` lists those of another, or of nobody."""
        caller, owner = self.caller(), request.query_params.get("owner")
        if owner is not None and owner != caller.name and caller.role is not Role.ADMIN:
            raise Forbidden(Role.ADMIN, caller.role)
        return super().list(request, *args, **kwargs)

    @extend_schema(request=TokenSerializer, responses={201: NewTokenSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Make a token, of a role no higher than one's own; its text is in this answer alone.

        It lives for 90 days unless told, and never longer than the token that makes it.
        """
        serializer = TokenSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        token: Any = serializer.record
        self._refuse_more_than_the_maker(token)
        token.owner_id = self.caller().user_id
        text = tokens.issue(token)
        answer = Response(TokenSerializer.show(token.document) | {"token": text}, status=201)
        answer["Cache-Control"] = "no-store"
        return answer

    def _refuse_more_than_the_maker(self, token: Token) -> None:
        """See to the life of a new token. Raises Forbidden, and ValidationError where too long."""
        caller = self.caller()
        role = ROLES[token.role]
        if role > caller.role:
            raise Forbidden(role, caller.role)
        if token.expires_at is None:
            ends = tokens.default_end()
            token.expires_at = min(ends, caller.expires_at or ends)
        elif caller.expires_at and token.expires_at > caller.expires_at:
            raise LivesLonger
        elif said := tokens.end_problem(token.expires_at):
            raise ValidationError({"expires_at": [said]})


class LivesLonger(ServiceError):
    status = 403
    code = "forbidden"

    def __init__(self) -> None:
        super().__init__(
            "A token makes none that lives longer than itself; log in to make one, with any role."
        )


class UserParameters(ListParameters):
    def __init__(self) -> None:
        super().__init__(Account, filters=["username"], search=["username"])
        self.filters["active"] = codec_of(field_of(Account, "is_active"))


class UserViewSet(DocumentViewSet):
    """The users of the admin and of the API, with their roles."""

    serializer_class = UserSerializer
    parameters = UserParameters()
    access = dict.fromkeys(records_access(writes=Role.ADMIN), Role.ADMIN)
    hashes_passwords = frozenset({"create", "update", "partial_update"})

    def complete(self, documents: Sequence[Stored]) -> Sequence[Stored]:
        return with_roles(documents)

    def etag(self, document: Stored) -> str:
        return super().etag(with_roles([document])[0])

    def record_response(self, document: Stored, status: int = 200) -> HttpResponse:
        return super().record_response(with_roles([document])[0], status)

    def current_document(self, request: Request) -> Stored:
        document = self.get_document()
        refuse_if_stale(request, with_roles([document])[0], self.model.kept)
        return document
