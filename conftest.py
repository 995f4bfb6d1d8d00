"""Fixtures every app's tests share."""

import pytest
from django.db import connection
from pymongo.database import Database

from common.testing import Api, in_process

COLLECTIONS = ("connections", "schemas", "mappings", "column_mappings", "schedules", "leases")


@pytest.fixture
def stored(db) -> Database:
    """The store as another program sees it, empty at first."""
    for name in COLLECTIONS:
        connection.database[name].delete_many({})
    return connection.database


@pytest.fixture
def api(stored) -> Api:
    """A client of the service in this process, over an empty store."""
    return in_process()
