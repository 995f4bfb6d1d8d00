"""The search over all records, from every page of the admin: a few of each kind."""

from __future__ import annotations

import re
from typing import Any

import pymongo
from django.apps import apps
from django.http import HttpRequest
from django.urls import reverse
from pymongo.errors import PyMongoError
from unfold.dataclasses import SearchResult

from common.admin.filters import search_text
from common.admin.permissions import may
from common.documents import store
from dashboard.navigation import PAGES

FIELDS = {"columnmapping": ("source_columns", "target_fields")}
"""Where a record is found that has no name."""
LEFT_OUT = ("run",)
"""There are many of one mapping, which leads to them."""
EACH = 5
"""Records of a kind that are listed: who looks for more goes to the list."""
TIMEOUT_S = 2.0
"""How long all kinds together are looked for; what is not found by then is left out."""


def search(request: HttpRequest, term: str) -> list[SearchResult]:
    """Return the records that hold a text, each of a kind that the person may see.

    `term` is in lower case by then; capitals do not count.
    """
    text = search_text(term)
    found: list[SearchResult] = []
    with pymongo.timeout(TIMEOUT_S):
        for title, icon, app, name in PAGES:
            if text and name not in LEFT_OUT and may(request, f"{app}.view_{name}"):
                found += _of_kind(title, icon, apps.get_model(app, name), text)
    return found


def _of_kind(title: str, icon: str, model: Any, text: str) -> list[SearchResult]:
    meta = model._meta
    pattern = {"$regex": re.escape(text), "$options": "i"}
    fields = FIELDS.get(meta.model_name, ("name",))
    condition = {"$or": [{field: pattern} for field in fields]}
    try:
        documents = list(store.find(model, condition, dict.fromkeys(fields, 1), limit=EACH))
    except PyMongoError as slow:
        if not store.is_unavailable(slow):
            raise
        return []
    return [
        SearchResult(
            title=" → ".join(_text(document.get(field)) for field in fields),
            description=title,
            link=reverse(
                f"admin:{meta.app_label}_{meta.model_name}_change", args=[document["_id"]]
            ),
            icon=icon,
        )
        for document in documents
    ]


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
