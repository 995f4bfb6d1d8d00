"""Fixtures every app's tests share."""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.test.utils import setup_databases, teardown_databases
from pymongo.database import Database

from common.documents import store
from common.tests.client import Api, in_process
from common.tests.operator import Operator, operator as logged_in

MADE_BY_MIGRATIONS = {"django_migrations", "django_content_type", "auth_permission"}


def be_patient() -> None:
    """Give the store time: the machine may be busy, and its limits have tests of their own."""
    connection.settings_dict["OPTIONS"]["timeoutMS"] = 20_000
    store.REQUEST_TIMEOUT_S = store.CONFLICT_TIMEOUT_S = 20.0


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_blocker) -> Iterator[None]:
    """Make the test database, also where no test asks for it in pytest-django's own way."""
    be_patient()
    with django_db_blocker.unblock():
        # No test asks for what migrations left.
        made = setup_databases(
            verbosity=0, interactive=False, aliases=["default"], serialized_aliases=[]
        )
        yield
        teardown_databases(made, verbosity=0)


@pytest.fixture
def stored(django_db_setup, django_db_blocker) -> Iterator[Database]:
    """The store as another program sees it, empty at first.

    Emptied collection by collection: Django's own flush takes a quarter of a second a test.
    """
    with django_db_blocker.unblock():
        database = connection.database
        for name in set(database.list_collection_names()) - MADE_BY_MIGRATIONS:
            database[name].delete_many({})
        yield database


@pytest.fixture
def api(stored) -> Api:
    """A client of the service in this process, over an empty store."""
    return in_process()


@pytest.fixture
def operator(stored) -> Operator:
    """Someone logged in to the admin, over an empty store."""
    return logged_in()
