"""Mappings that can run: from the test server's PostgreSQL into the default lake."""

import os
from typing import Any
from urllib.parse import urlsplit

from bson import ObjectId

from common.tests.client import (
    Api,
    column,
    connection_body,
    direct,
    made,
    schema_body,
)


def source_body(**changes: Any) -> dict[str, Any]:
    """Return the body of a connection to the test server's database."""
    url = urlsplit(os.environ["TEST_POSTGRES_URL"])
    address = {
        "host": url.hostname,
        "port": url.port,
        "database": url.path.strip("/"),
        "username": url.username,
        "password": url.password,
        "ssl_mode": "disable",
    }
    return connection_body(**(address | changes))


def pipeline(api: Api, query: str = "SELECT 1 AS id", **changes: Any) -> dict[str, Any]:
    """Return a mapping whose query gives `id`, with a rule that writes it as an integer."""
    if "source_connection_id" not in changes:
        changes["source_connection_id"] = api.create("connections", source_body())["id"]
    schema = api.create("schemas", schema_body(columns=[column("id", "integer")]))
    mapping = made(api, "mappings", source_query=query, target_schema_id=schema["id"], **changes)
    api.create(f"mappings/{mapping['id']}/column-mappings", direct())
    return mapping


def broken(api: Api, stored: Any) -> dict[str, Any]:
    """Return a mapping whose query the database refuses: another program has changed it."""
    mapping = pipeline(api)
    change = {"$set": {"source_query": "SELECT id FROM nowhere_at_all"}}
    stored["mappings"].update_one({"_id": ObjectId(mapping["id"])}, change)
    return mapping
