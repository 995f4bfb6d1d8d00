"""The store: one client for the process, collections, and the moment that documents carry."""

from datetime import UTC, datetime
from typing import Any

from peer import settings
from pymongo import MongoClient

Document = dict[str, Any]

client: MongoClient[Document] = MongoClient(
    settings.MONGODB_URL, timeoutMS=2500, serverSelectionTimeoutMS=2000, connectTimeoutMS=2000
)
database = client[settings.MONGODB_DB_NAME]

connections = database["connections"]
schemas = database["schemas"]
mappings = database["mappings"]
column_mappings = database["column_mappings"]
schedules = database["schedules"]


def now() -> datetime:
    """Return this moment as MongoDB keeps it: naive UTC, cut to milliseconds."""
    moment = datetime.now(UTC).replace(tzinfo=None)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
