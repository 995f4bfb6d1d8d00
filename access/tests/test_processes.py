"""What two processes know of one token: both within seconds that it was ended."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pymongo import MongoClient

from access.callers import REMEMBERED_S
from access.tokens import PREFIX, digest_of
from common.tests.client import over_http, token_document
from devtools.mongodb import mongodb
from devtools.processes import LOOPBACK, free_port
from devtools.service import service

ADMINS, ENDED = (PREFIX + letter * 40 for letter in "ab")


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """A client of the service, with two processes, over a store with two tokens."""
    folder = tmp_path_factory.mktemp("processes")
    with (
        mongodb(folder, free_port(), durable=False) as store,
        service(store.url, "access", folder / "log", API_AUTH="required") as (_, port),
        MongoClient(store.url) as client,
    ):
        for text, role in ((ADMINS, "admin"), (ENDED, "viewer")):
            made = token_document(name=role, role=role, hash=digest_of(text))
            client["access"]["tokens"].insert_one(made)
        yield over_http(LOOPBACK, port)


def answers(api, text):
    """Ask often enough at once that each process is asked."""
    with ThreadPoolExecutor(8) as pool:
        asked = pool.map(lambda _: api.get("me", Authorization=f"Bearer {text}").status, range(24))
        return set(asked)


def test_an_ended_token_is_wrong_everywhere_within_seconds(api):
    admin = {"Authorization": f"Bearer {ADMINS}"}
    assert answers(api, ENDED) == {200}
    (ended,) = [one for one in api.get("tokens?owner=", **admin).json() if one["name"] == "viewer"]
    assert api.delete(f"tokens/{ended['id']}", **admin).status == 204
    time.sleep(REMEMBERED_S + 0.5)
    assert answers(api, ENDED) == {401, 429}
    assert answers(api, ADMINS) == {200}
