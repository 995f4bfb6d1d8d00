"""The demo's records, as examples in the documentation name them; `seed_demo` makes them."""

from __future__ import annotations

import os
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from bson import ObjectId
from django.conf import settings

DEFAULT_SOURCE: Final = "postgresql://shop_reader@localhost:54320/shop"
PASSWORD: Final = f"{settings.SECRET_ENV_PREFIX}DEMO_SHOP_PASSWORD"
"""The variable in which `make run` lends the shop's password."""


def _id(number: int) -> ObjectId:
    return ObjectId(b"demo" + number.to_bytes(8, "big"))


CONNECTION: Final = "Demo shop"
IDS: Final = {
    "connections": {CONNECTION: _id(1)},
    "schemas": {
        "Demo customers": _id(11),
        "Demo orders": _id(12),
        "Demo products": _id(13),
    },
    "mappings": {
        "Demo shop customers": _id(21),
        "Demo shop orders": _id(22),
        "Demo shop products, wrong on purpose": _id(23),
    },
    "schedules": {
        "Demo nightly import": _id(31),
        "Demo orders every half hour": _id(32),
    },
}
"""By the kinds' collections; a record has its id wherever that is free when it is made."""


def example_id(kind: str) -> str:
    """Return the id of the first of the demo's records of a kind."""
    return str(next(iter(IDS[kind].values())))


def place(source_url: str | None = None) -> dict[str, Any]:
    """Return where the shop is, as fields of a connection, without its password.

    It is what `make run` has told the environment, unless an address is given.
    """
    address = urlsplit(source_url or os.environ.get("DEMO_SOURCE_URL") or DEFAULT_SOURCE)
    return {
        "db_type": "postgresql",
        "host": address.hostname,
        "port": address.port or 5432,
        "database": address.path.lstrip("/"),
        "username": unquote(address.username or ""),
    }
