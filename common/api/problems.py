"""Every refusal in one shape: `application/problem+json`, as RFC 9457 describes it."""

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import (
    ImproperlyConfigured,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import DatabaseError
from django.http import Http404, HttpResponse
from rest_framework import exceptions
from rest_framework.response import Response

from common.api.json import PROBLEM_JSON, to_json
from common.documents import store
from common.exceptions import (
    MAX_ERRORS,
    BodyTooLarge,
    FieldError,
    NotFound,
    ServiceError,
    StoreUnavailable,
)

logger = logging.getLogger(__name__)


class Invalid(ServiceError):
    """One or more fields of a body or query are wrong.

    `errors` names all of them, up to `MAX_ERRORS`; the detail counts those beyond.
    """

    status = 400
    code = "invalid"

    def __init__(self, errors: list[FieldError]) -> None:
        said = [
            f"{error['field']}: {error['message']}" if error["field"] else error["message"]
            for error in errors[:SAID]
        ]
        shown = "; ".join(text.rstrip(".") for text in said)
        more = f"; and {len(errors) - SAID} more" if len(errors) > SAID else ""
        super().__init__(f"{shown}{more}.", errors[:MAX_ERRORS])


SAID = 5
"""So many errors are told in one sentence."""


class Refused(ServiceError):
    """An HTTP refusal that needs no exception of its own."""

    def __init__(self, status: int, code: str, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


UNEXPECTED = Refused(
    500, "internal_error", "The service failed in a way it did not expect; its log says how."
)
STORE_DOWN = StoreUnavailable("The store of configurations does not answer; try again in a moment.")


def problem(error: ServiceError) -> dict[str, Any]:
    """Return the body that describes a refusal."""
    body = {
        "type": f"urn:etl-engine:problem:{error.code}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
    }
    return body | ({"errors": error.errors} if error.errors else {}) | error.more


def problem_response(error: ServiceError) -> HttpResponse:
    """Return a refusal as Django's response, for what happens outside a view."""
    return HttpResponse(
        to_json(problem(error)),
        status=error.status,
        content_type=PROBLEM_JSON,
        headers=error.headers,
    )


def exception_handler(raised: Exception, context: dict[str, Any]) -> Response:
    """Translate what a view raised; the one place where exceptions become HTTP."""
    error = translated(raised)
    return Response(
        problem(error), status=error.status, content_type=PROBLEM_JSON, headers=error.headers
    )


def translated(raised: BaseException) -> ServiceError:
    """Return the refusal that stands for an exception; what nobody foresaw is logged."""
    if isinstance(raised, ServiceError):
        return raised
    if store.is_unavailable(raised) or (
        isinstance(raised, DatabaseError) and store.is_unavailable(raised.__cause__)
    ):
        logger.warning("The store does not answer: %s", type(raised).__name__)
        return STORE_DOWN
    if isinstance(raised, Http404):
        return NotFound("There is nothing at this address.")
    if isinstance(raised, RequestDataTooBig):
        return BodyTooLarge(settings.MAX_BODY_BYTES)
    if isinstance(raised, exceptions.APIException):
        return _of_rest_framework(raised)
    if isinstance(raised, PermissionDenied):
        return Refused(403, "forbidden", "That is not allowed.")
    if isinstance(raised, SuspiciousOperation):
        return Refused(400, "invalid", "The request was refused: its Host or size is not allowed.")
    logger.error("Unexpected %s", type(raised).__name__, exc_info=raised)
    if isinstance(raised, ImproperlyConfigured):
        return Refused(500, "misconfigured", str(raised))
    return UNEXPECTED


def _of_rest_framework(raised: exceptions.APIException) -> ServiceError:
    match raised:
        case exceptions.MethodNotAllowed():
            return Refused(405, "method_not_allowed", str(raised.detail))
        case exceptions.UnsupportedMediaType():
            return Refused(415, "unsupported_media_type", "Send the body as application/json.")
        case exceptions.NotFound():
            return NotFound(str(raised.detail))
        case exceptions.ParseError():
            return Refused(400, "invalid", str(raised.detail))
        case exceptions.ValidationError():
            return Invalid(flattened(raised.detail))
    return Refused(raised.status_code, str(raised.default_code), str(raised.detail))


def flattened(detail: Any, path: str = "") -> list[FieldError]:
    """Return nested validation details as a flat list of paths such as `columns.2.name`."""
    named: Iterable[tuple[object, Any]]
    if isinstance(detail, dict):
        named = detail.items()
    elif isinstance(detail, list) and any(isinstance(item, dict | list) for item in detail):
        named = enumerate(detail)
    else:
        return [
            _field_error(item, path) for item in (detail if isinstance(detail, list) else [detail])
        ]
    return [error for key, value in named for error in flattened(value, _joined(path, key))]


def _joined(path: str, key: object) -> str:
    if key == "non_field_errors":
        return path
    return f"{path}.{key}" if path else str(key)


def _field_error(item: Any, path: str) -> FieldError:
    return {"field": path, "code": str(getattr(item, "code", "invalid")), "message": str(item)}
