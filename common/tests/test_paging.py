"""Pages by offset and by cursor show every record once, in the order of the whole list."""

import base64
import re
from datetime import datetime, timedelta

import bson
import pytest
from bson.regex import Regex
from pymongo.database import Database

from common.tests.client import PREFIX, Api, followed

SCHEMAS = f"{PREFIX}/schemas"
MOMENT = datetime(2026, 1, 1)  # noqa: DTZ001 - as the driver stores it


@pytest.fixture
def many(stored: Database) -> int:
    """303 schemas in groups of one age, some without any."""
    stored["schemas"].insert_many(
        {
            "name": f"s{number:05}",
            "columns": [{"name": "a", "data_type": "string"}],
            "created_at": MOMENT,
            "updated_at": MOMENT + timedelta(seconds=number // 10) if number % 50 else None,
        }
        for number in range(303)
    )
    return 303


NO_CURSOR = "Not a cursor; take it from the Link header of the last page."


def encoded(**content):
    return base64.urlsafe_b64encode(bson.encode(content)).decode().rstrip("=")


def cursor(order, *after):
    return encoded(order=order, after=after)


def test_a_span_that_makes_no_sense_is_no_hint(api: Api, many: int):
    whole = api.get(SCHEMAS).json()
    last = MOMENT + timedelta(seconds=30), bson.ObjectId(whole[0]["id"])
    for span in (-1, 2**62, "long", None):
        asked = encoded(order="-updated_at,-_id", after=last, span_ms=span)
        assert api.get(f"{SCHEMAS}?limit=5&cursor={asked}").json() == whole[1:6]


@pytest.mark.parametrize("paged", ["offset=0", "cursor="])
@pytest.mark.parametrize("ordering", ["-updated_at", "updated_at", "name", "-name", "-created_at"])
def test_the_pages_together_are_the_list(api: Api, many: int, paged: str, ordering: str):
    whole = api.get(f"{SCHEMAS}?ordering={ordering}").json()

    pages = followed(api, f"{SCHEMAS}?limit=29&{paged}&ordering={ordering}")

    assert len(whole) == many
    assert pages == whole


def test_a_record_that_comes_in_meanwhile_moves_no_page_by_cursor(api: Api, many: int, stored):
    first = api.get(f"{SCHEMAS}?limit=50&cursor=&ordering=name")
    following = re.search(r'<([^>]*)>; rel="next"', first.headers["link"])[1]
    stored["schemas"].insert_one({"name": "a first one", "columns": [], "updated_at": MOMENT})

    second = api.get(following.removeprefix("http://testserver")).json()

    assert second[0]["name"] == "s00050"


def test_a_long_page_by_cursor_has_a_next_one(api: Api, stored):
    stored["schemas"].insert_many(
        {"name": f"s{number}", "columns": [], "updated_at": MOMENT} for number in range(601)
    )

    first = api.get(f"{SCHEMAS}?limit=600&cursor=")

    assert len(first.json()) == 600
    assert len(followed(api, f"{SCHEMAS}?limit=600&cursor=")) == 601


@pytest.mark.parametrize(("limit", "more"), [(302, True), (303, False), (304, False)])
def test_a_page_by_cursor_that_shows_the_end_has_no_next_one(api: Api, many: int, limit, more):
    answer = api.get(f"{SCHEMAS}?limit={limit}&cursor=")

    assert ('rel="next"' in answer.headers["link"]) == more
    assert answer.headers["x-total-count"] == "303"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("cursor=", "A cursor needs a limit of 1 to 1000."),
        ("cursor=&limit=1001", "A cursor needs a limit of 1 to 1000."),
        ("cursor=&limit=5&offset=5", "A page is asked for by offset or by cursor."),
        ("cursor=x&limit=5", NO_CURSOR),
        ("cursor=e30&limit=5", NO_CURSOR),
        (f"cursor={cursor('name', 'a')}&limit=5", "The cursor belongs to another ordering."),
        (f"cursor={cursor('-updated_at,-_id', 'a')}&limit=5", NO_CURSOR),
        (f"cursor={cursor('-updated_at,-_id', {'$gt': 0}, None)}&limit=5", NO_CURSOR),
        (f"cursor={cursor('-updated_at,-_id', Regex('a'), None)}&limit=5", NO_CURSOR),
        (f"cursor={encoded(order='-updated_at,-_id', after=7)}&limit=5", NO_CURSOR),
        (f"cursor={encoded(order='-updated_at,-_id', after='ab')}&limit=5", NO_CURSOR),
        (f"cursor={encoded(order='-updated_at,-_id')}&limit=5", NO_CURSOR),
    ],
)
def test_a_cursor_that_makes_no_sense_is_refused(api: Api, query: str, message: str):
    answer = api.get(f"{SCHEMAS}?{query}")

    assert (answer.status, answer.errors["cursor"][1]) == (400, message)
