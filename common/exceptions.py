"""What can go wrong, named for what happened; `common.api.problems` makes HTTP of it.

ServiceError
├── Conflict                 409
│   ├── DuplicateName
│   ├── InUse
│   └── IncompatibleSchema
├── SearchTooBroad           400
├── NotFound                 404
├── Stale                    412   the record is no longer what the client read
├── BodyTooLarge             413
├── UnreadableSecret         409   no key opens the stored value
└── StoreUnavailable         503   the store is down, too slow, or the record is busy
"""

from collections.abc import Sequence
from typing import Any, TypedDict

MAX_ERRORS = 100
"""So many errors of one request are told; the others are counted."""


class FieldError(TypedDict):
    """One thing wrong with one field; `field` is a path such as `columns.2.data_type`."""

    field: str
    code: str
    message: str


class ServiceError(Exception):
    """A refusal a client can understand: `detail` is one readable sentence."""

    status = 500
    code = "internal_error"
    headers: dict[str, str] = {}

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)
        self.more: dict[str, Any] = {}
        """Further members of the answer, in JSON's terms."""


class Conflict(ServiceError):
    status = 409
    code = "conflict"


class DuplicateName(Conflict):
    code = "duplicate_name"

    def __init__(self, noun: str, name: str) -> None:
        message = f'A {noun} named "{name}" exists already; choose another name.'
        super().__init__(message, [{"field": "name", "code": self.code, "message": message}])


class InUse(Conflict):
    code = "in_use"

    def __init__(self, what: str, noun: str, users: Sequence[str], total: int = 0) -> None:
        """Name some of the `total` records that use `what`; all of them unless told."""
        super().__init__(f"{what} is in use by {_listing(noun, users, total or len(users))}.")


class IncompatibleSchema(Conflict):
    code = "incompatible_schema"


class UnreadableSecret(Conflict):
    code = "unreadable_secret"


class SearchTooBroad(ServiceError):
    status = 400
    code = "search_too_broad"


class NotFound(ServiceError):
    status = 404
    code = "not_found"


class Stale(ServiceError):
    status = 412
    code = "stale"

    def __init__(self) -> None:
        super().__init__(
            "The record changed since it was read; read it again and repeat the change."
        )


class BodyTooLarge(ServiceError):
    status = 413
    code = "too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The body is larger than {limit_bytes} bytes.")


class StoreUnavailable(ServiceError):
    status = 503
    code = "store_unavailable"
    headers = {"Retry-After": "2"}


def _listing(noun: str, names: Sequence[str], total: int) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    more = f" and {total - len(names)} more" if total > len(names) else ""
    return f"the {noun}{'s' if total > 1 else ''} {quoted}{more}"
