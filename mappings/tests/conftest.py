"""Real sources for mappings: the servers of the sources' own tests."""

from __future__ import annotations

import pytest

from common.tests.client import column, made
from mappings import source
from sources.tests.conftest import listen, mysql, postgres, server

__all__ = ["listen", "mysql", "postgres", "server"]


@pytest.fixture(autouse=True)
def _ask_again():
    source.silent.forget()
    yield
    source.silent.forget()


def connection_to(api, params, **changes):
    """Return the id of a stored connection with these parameters."""
    fields = ("host", "port", "database", "username", "password")
    body = {name: getattr(params, name) for name in fields}
    return made(api, "connections", db_type=params.kind, **(body | changes))["id"]


def onto(api, **types):
    """Return the id of a new schema of these fields."""
    columns = [column(name, data_type) for name, data_type in types.items()]
    return made(api, "schemas", columns=columns)["id"]
