"""Asking a saved connection: the first rows of a query, or the schema that takes them."""

from datetime import datetime
from typing import Any

from django.conf import settings

from common.context import client_address
from common.documents import store
from connections.refusals import as_refusals
from mappings.serializers import PreviewQuerySerializer, ProposalQuerySerializer, window_of
from sources import windows
from sources.contract import SourceParams
from sources.preview import Preview, propose_schema, run_preview


def preview(data: Any) -> Preview:
    """Return the first rows of the query that `data` describes, as a body of the API does.

    Raises DRF's ValidationError for a wrong body, and the ServiceError that a source's trouble is.
    """
    serializer = PreviewQuerySerializer(data=data)
    query = _validated(serializer)
    with as_refusals(serializer.name_of_query):
        return run_preview(
            _source(query),
            _filled(query),
            limit_rows=query["limit"],
            timeout_s=settings.PREVIEW_TIMEOUT_S,
            client=client_address(),
        )


def propose(data: Any) -> list[dict[str, str]]:
    """Return the columns of a schema for the query that `data` describes; raises as `preview`."""
    serializer = ProposalQuerySerializer(data=data)
    query = _validated(serializer)
    with as_refusals(serializer.name_of_query):
        return propose_schema(
            _source(query),
            _filled(query),
            timeout_s=settings.PREVIEW_TIMEOUT_S,
            client=client_address(),
        )


def _filled(query: dict[str, Any]) -> str:
    return filled(query["source_query"], query["connection"].db_type, window_of(query))


def filled(sql: str, kind: str, window: tuple[datetime, datetime] | None) -> str:
    """Return a query with a window's moments in it: those of the day that ends now unless given."""
    return (
        windows.fill(sql, kind, *window)
        if window
        else windows.fill_last_day(sql, kind, store.now())
    )


def _validated(serializer: ProposalQuerySerializer) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    validated: dict[str, Any] = serializer.validated_data
    return validated


def _source(query: dict[str, Any]) -> SourceParams:
    params: SourceParams = query["connection"].params()
    return params
