"""JSON in, JSON out: strict parsing, exact rendering, one media type."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.metadata import BaseMetadata
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from common.exceptions import BodyTooLarge

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"


@lru_cache(maxsize=4096)
def iso_utc(moment: datetime) -> str:
    """Return a UTC moment, naive or aware, as `2026-01-31T08:00:00.000Z`.

    Remembered, as a list asks again for the moments of records that nobody has changed.
    """
    naive = moment.replace(tzinfo=None) if moment.tzinfo else moment
    return naive.isoformat(timespec="milliseconds") + "Z"


def moment(value: Any) -> Any:
    """Return a moment as its text, and anything else as it is."""
    return iso_utc(value) if isinstance(value, datetime) else value


EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of what the driver hands over
CALENDAR_MS = 146_097 * 86_400_000
"""The calendar repeats itself every 400 years."""


def iso_far(moment: DatetimeMS) -> str:
    """Return a UTC moment of a year that Python lacks as JavaScript does: `+010000-01-01T…`."""
    cycles, ms = divmod(int(moment), CALENDAR_MS)
    near = EPOCH + timedelta(milliseconds=ms)
    return f"{near.year + 400 * cycles:+07d}{iso_utc(near)[4:]}"


def to_json(value: Any) -> bytes:
    """Return `value` as UTF-8 JSON; ids become hex, moments ISO 8601 in UTC."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _plain(value: Any) -> Any:
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, datetime):
        return iso_utc(value)
    if isinstance(value, DatetimeMS):
        return iso_far(value)
    # A field another program filled with a BSON type that JSON has no form for.
    return str(value)


def address_of(request: Request) -> str:
    """Return the absolute address of what a request asks for, without the query."""
    path = request.path if request.path.isascii() else quote(request.path)
    # A host that is named has been checked by the middleware.
    host = request.META.get("HTTP_HOST") or request.get_host()
    return f"{request.scheme}://{host}{path}"


class JSONRenderer(BaseRenderer):
    media_type = JSON
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: Any = None, context: Any = None) -> bytes:
        if isinstance(data, bytes):
            return data
        return b"" if data is None else to_json(data)


class JSONParser(BaseParser):
    """Reads a JSON body of at most `MAX_BODY_BYTES`.

    NaN, lone surrogates, invalid UTF-8 and absurd nesting are refused, as malformed JSON.
    """

    media_type = JSON

    def parse(self, stream: IO[bytes], media_type: Any = None, context: Any = None) -> Any:
        limit = settings.MAX_BODY_BYTES
        # Django's own limit looks at Content-Length; a chunked body has none.
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise BodyTooLarge(limit)
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as wrong:
            raise ParseError(
                f"The body is not valid JSON: {wrong.msg} (line {wrong.lineno}, "
                f"column {wrong.colno})."
            ) from wrong


class OnlyJSON(BaseContentNegotiation):
    """Whatever a client says it accepts, it gets JSON; what it sends must be JSON."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        sent = request.content_type.split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == sent), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class Metadata(BaseMetadata):
    """The answer to OPTIONS: which methods a path takes; the fields are in the OpenAPI document."""

    def determine_metadata(self, request: Request, view: APIView) -> dict[str, Any]:
        return {"name": view.get_view_name(), "methods": view.allowed_methods}
