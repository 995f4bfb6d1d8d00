"""A preview as the mapping's page shows it: a table, or the sentence that refuses."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest
from rest_framework.exceptions import APIException

from common.api.problems import translated
from common.exceptions import ServiceError
from mappings.preview import preview

PREVIEW_ROWS = 50


def preview_context(request: HttpRequest) -> dict[str, Any]:
    if not request.POST.get("source_connection"):
        return {"refusal": "Choose a source connection first."}
    query = {
        "source_connection_id": request.POST["source_connection"],
        "source_query": request.POST.get("source_query", ""),
        "limit": PREVIEW_ROWS,
    }
    try:
        found = preview(query)
    except (ServiceError, APIException) as raised:
        refusal = translated(raised)
        return {"refusal": " ".join(e["message"] for e in refusal.errors) or refusal.detail}
    heads = list(zip(found.columns, found.column_types, strict=True))
    return {"preview": found, "heads": heads, "rows": [cells(row) for row in found.rows]}


def cells(row: Iterable[Any]) -> list[dict[str, Any]]:
    """Return how a preview's values look: numbers to the right, null unlike any text."""
    return [
        {"text": cell_text(value), "is_null": value is None, "is_number": is_number(value)}
        for value in row
    ]


def cell_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
