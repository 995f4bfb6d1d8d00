"""JSON in, JSON out: strict parsing, exact rendering, one media type."""

from __future__ import annotations

from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

import orjson
from bson.datetime_ms import DatetimeMS
from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.metadata import BaseMetadata
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from common.exceptions import BodyTooLarge
from common.times import show_moment

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"


def to_json(value: Any) -> bytes:
    """Return `value` as UTF-8 JSON; ids become hex, moments ISO 8601 in UTC."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | DatetimeMS):
        return show_moment(value)
    # An id, or a field that another program filled with a BSON type that JSON has no form for.
    return str(value)


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
