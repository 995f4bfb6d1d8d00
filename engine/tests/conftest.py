"""Targets for the tests of loaders, each empty at first."""

import pytest

from .targets import Lake, Mysql, Postgres


@pytest.fixture(scope="session")
def databases():
    with Postgres().made() as postgres, Mysql().made() as mysql:
        yield {"postgresql": postgres, "mysql": mysql}


@pytest.fixture
def postgres(databases):
    databases["postgresql"].clear()
    return databases["postgresql"]


@pytest.fixture
def mysql(databases):
    databases["mysql"].clear()
    return databases["mysql"]


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


@pytest.fixture(params=["postgresql", "mysql"])
def database(databases, request):
    databases[request.param].clear()
    return databases[request.param]


@pytest.fixture(params=["lake", "postgres", "mysql"])
def target(request):
    return request.getfixturevalue(request.param)
