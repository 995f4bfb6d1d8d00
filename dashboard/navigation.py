"""What stands at the side of every page of the admin."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from common.admin.permissions import may

PAGES = [
    ("Connections", "cable", "connections", "connection"),
    ("Schemas", "table", "schemas", "schema"),
    ("Targets", "database", "targets", "target"),
    ("Mappings", "conversion_path", "mappings", "mapping"),
    ("Column mappings", "arrow_split", "mappings", "columnmapping"),
    ("Schedules", "schedule", "schedules", "schedule"),
    ("Runs", "play_circle", "runs", "run"),
    ("Notifications", "notifications", "notifications", "notification"),
]
TIMELINE = "admin:runs_run_timeline"
ACCOUNTS = [
    ("Users", "person", "auth", "user"),
    ("Groups", "group", "auth", "group"),
    ("Tokens", "key", "access", "token"),
]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the pages that the person may see, in groups."""
    overview = {"title": "Overview", "icon": "dashboard", "link": reverse("admin:index")}
    pages = [overview, *_items(request, PAGES), *_timeline(request)]
    groups = [("", pages), ("Access", _items(request, ACCOUNTS))]
    return [
        {"title": title, "separator": bool(title), "items": items}
        for title, items in groups
        if items
    ]


def _timeline(request: HttpRequest) -> list[dict[str, Any]]:
    if not (may(request, "runs.view_run") and may(request, "schedules.view_schedule")):
        return []
    return [{"title": "Timeline", "icon": "view_timeline", "link": reverse(TIMELINE)}]


def _items(request: HttpRequest, pages: list[tuple[str, str, str, str]]) -> list[dict[str, Any]]:
    return [
        _item(request, title, icon, reverse(f"admin:{app}_{model}_changelist"))
        for title, icon, app, model in pages
        if may(request, f"{app}.view_{model}") or may(request, f"{app}.change_{model}")
    ]


def _item(request: HttpRequest, title: str, icon: str, link: str) -> dict[str, Any]:
    # The timeline lies below the runs, and is none of their pages.
    is_open = request.path.startswith(link) and request.path != reverse(TIMELINE)
    return {"title": title, "icon": icon, "link": link, "active": is_open}
