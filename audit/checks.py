"""System checks of the audit's settings, and of the store that it is written to."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError
from pymongo import timeout as within
from pymongo.errors import PyMongoError

from common.documents import store

SHORTEST_KEY = 32
STORE_TIMEOUT_S = 2.0


@register("service")
def audit_keys(**kwargs: Any) -> Iterator[CheckMessage]:
    if 0 < len(settings.AUDIT_KEY) < SHORTEST_KEY:
        yield Error(
            f"AUDIT_KEY is shorter than {SHORTEST_KEY} characters.",
            hint="Set AUDIT_KEY to 50 or more random characters; the former one goes into "
            "AUDIT_KEYS_RETIRED.",
            id="service.E040",
        )
    if settings.AUDIT_KEEP_DAYS < 0:
        yield Error(
            f"AUDIT_KEEP_DAYS is {settings.AUDIT_KEEP_DAYS}; expected days, or 0 for ever.",
            hint="Leave it out for the default.",
            id="service.E041",
        )


@register(Tags.database)
def transactions(**kwargs: Any) -> list[CheckMessage]:
    if not kwargs.get("databases"):
        return []
    try:
        with within(STORE_TIMEOUT_S):
            if store.mongodb.features._supports_transactions:
                return []
    except (PyMongoError, DatabaseError):
        return []  # `service.E020` tells of it.
    return [
        Warning(
            "The MongoDB server is stand-alone, and has no transactions: a crash may lose the "
            "audit's entry of a write.",
            hint="Run it as a replica set, of one member at least.",
            id="service.W040",
        )
    ]
