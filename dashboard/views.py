"""The admin's front page: what a person may see of it, within a time limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pymongo
from django.http import HttpRequest
from pymongo.errors import PyMongoError

from common.admin.permissions import may
from common.documents import store
from dashboard import queries

TIMEOUT_S = 4.0
"""How long the page waits for all of its queries together."""


def dashboard_callback(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the front page what the person may see."""
    panels: dict[str, tuple[str, Callable[[], Any]]] = {
        "start": ("connections.view_connection", queries.start_here),
        "day": ("runs.view_run", queries.last_day),
        "due": ("schedules.view_schedule", queries.due_soon),
        "connections": ("connections.view_connection", queries.by_last_test),
        "unmapped": ("mappings.view_mapping", queries.mappings_without_rules),
        "failed": ("connections.view_connection", queries.last_failed),
    }
    allowed = {
        name: query for name, (permission, query) in panels.items() if may(request, permission)
    }
    shown = {"title": "Overview", "may_add": may(request, "connections.add_connection")}
    picture = {"width": queries.WIDTH * queries.HOURS, "height": queries.HEIGHT}
    return context | shown | {"picture": picture} | _answers(allowed)


def _answers(panels: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Return what each query answers, by name; `is_slow` tells whether some are missing."""
    answers: dict[str, Any] = {"is_slow": False}
    with pymongo.timeout(TIMEOUT_S):
        for name, query in panels.items():
            try:
                answers[name] = query()
            except PyMongoError as slow:
                if not store.is_unavailable(slow):
                    raise
                answers["is_slow"] = True
    return answers
