"""What a source database's trouble is over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager

from common.api.problems import Invalid
from common.exceptions import ServiceError
from sources import errors


class SourceFailed(ServiceError):
    """A source could not do what was asked; `error_code` and `hint` say why and what to do."""

    def __init__(self, raised: errors.SourceError, status: int, code: str, **headers: str) -> None:
        hint = f" {raised.hint}" if raised.hint else ""
        super().__init__(f"{raised.message}{hint}")
        self.status = status
        self.code = code
        self.headers = headers


@contextmanager
def as_refusals(query_field: str = "source_query") -> Iterator[None]:
    """Raise the trouble of a source inside as a refusal; `query_field` names the query's field."""
    try:
        yield
    except errors.TooManyProbes as busy:
        raise SourceFailed(busy, 429, "too_many_requests", **{"Retry-After": "2"}) from busy
    except errors.SourceTimeout as silent:
        raise SourceFailed(silent, 504, "source_timeout") from silent
    except errors.SourceUnreachable as unreachable:
        raise SourceFailed(unreachable, 502, "source_unreachable") from unreachable
    except (errors.StatementRefused, errors.QueryFailed, errors.AnswerTooLarge) as refusal:
        raise Invalid(
            [{"field": query_field, "code": refusal.error_code, "message": refusal.message}]
        ) from refusal
    except errors.SourceError as trouble:
        raise SourceFailed(trouble, 503, "busy") from trouble
