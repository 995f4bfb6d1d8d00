"""Pages found in a stretch of time are those of the whole list, whatever is remembered of it."""

import re
from datetime import timedelta

import pytest
from bson.timestamp import Timestamp
from pymongo.errors import NetworkTimeout

from common.api import counting, lists, reach
from common.documents import store
from common.tests.client import document, followed
from connections.models import Connection

NOW = store.now().replace(tzinfo=None)


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch):
    """Every list of more than ten counts as a long one, and was never read."""
    monkeypatch.setattr(counting, "EXACT_UP_TO", 10)
    monkeypatch.setattr(counting, "LONG", 10)
    monkeypatch.setattr(lists, "BATCH", 9)
    monkeypatch.setattr(counting, "_counts", {})
    monkeypatch.setattr(reach, "_ends", {})
    monkeypatch.setattr(counting, "_shapes", {})


@pytest.fixture
def asked(monkeypatch):
    """The conditions of the pages that are looked for."""
    found = []
    find = lists._find

    def noted(model, projection, condition, *args):
        found.append(condition)
        return find(model, projection, condition, *args)

    monkeypatch.setattr(lists, "_find", noted)
    return found


def store_ages(stored, *ages):
    """Store a connection for each age, named by its place."""
    for place, age in enumerate(ages):
        moment = None if age is None else NOW - age
        document(stored, "connections", name=str(place), updated_at=moment)


def days(*ages):
    return [timedelta(days=age) for age in ages]


def names(api, query):
    return [record["name"] for record in api.get(f"connections?{query}").json()]


def walk(api, limit):
    """Return the names of every page by cursor."""
    return [record["name"] for record in followed(api, f"connections?limit={limit}&cursor=")]


SPREADS = {
    "minutes": [timedelta(minutes=age) for age in range(40)],
    "years": [timedelta(days=200 * age) for age in range(40)],
    "at once": [timedelta(days=3)] * 40,
    "in the future": [timedelta(hours=-age) for age in range(40, 0, -1)],
    "since ever": [*days(*range(20)), *[NOW - reach.THE_FIRST] * 20],
    "some without a moment": [*days(*range(30)), *[None] * 10],
}


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("again", [1, 2])
def test_every_page_is_that_of_the_whole_list(api, stored, spread, again):
    store_ages(stored, *SPREADS[spread])
    newest_first = stored.connections.find(sort=[("updated_at", -1), ("_id", -1)])
    whole = [str(document["_id"]) for document in newest_first]

    def ids(query):
        return [record["id"] for record in api.get(f"connections?{query}").json()]

    for _ in range(again):
        assert ids("") == whole
        assert ids("limit=7") == whole[:7]
        assert ids("limit=7&offset=7") == whole[7:14]
        assert ids("limit=7&offset=35") == whole[35:]
        assert ids("limit=40&offset=33") == whole[33:]
        assert ids("limit=7&offset=99") == []
        assert walk(api, 7) == names(api, "")


def test_a_page_is_looked_for_where_it_was_the_last_time(api, stored, asked):
    store_ages(stored, *days(*range(20)))

    assert names(api, "limit=3") == names(api, "limit=3")

    assert len(asked) > 2
    assert asked[-1] == {"updated_at": {"$gte": NOW - timedelta(days=2)}}


@pytest.mark.parametrize(("query", "finds"), [("limit=20&cursor=", 1), ("limit=8&offset=12", 2)])
def test_the_very_end_is_looked_for_where_it_was_the_last_time(api, stored, asked, query, finds):
    store_ages(stored, *days(*range(20)))
    first = names(api, query)
    asked.clear()

    assert names(api, query) == first
    assert len(asked) == finds


def test_a_short_list_is_read_as_it_is(api, stored, asked):
    store_ages(stored, *days(*range(5)))

    assert len(names(api, "limit=9")) == 5

    assert asked == [{}]


def test_a_stretch_that_failed_is_not_tried_again(api, stored, monkeypatch):
    store_ages(stored, *days(*range(20)))
    names(api, "limit=3")
    assert reach._ends

    def slow(*args):
        raise NetworkTimeout("slow")

    with monkeypatch.context() as patch:
        patch.setattr(lists, "_find", slow)
        assert api.get("connections?limit=3").status == 503

    assert not reach._ends


def test_a_walk_from_a_dense_to_a_sparse_part_reads_no_more_than_it_needs(api, stored, asked):
    dense = [timedelta(seconds=age) for age in range(40)]
    store_ages(stored, *dense, *(timedelta(days=100 * age) for age in range(1, 10)))
    names(api, "")
    asked.clear()

    assert names(api, "") == [str(number) for number in range(49)]

    within = [stored.connections.count_documents(condition) for condition in asked[:4]]
    assert max(within) <= 40


def test_what_is_remembered_gives_way_to_what_is_there(api, stored):
    store_ages(stored, *days(*range(20)))
    assert names(api, "limit=3") == ["0", "1", "2"]

    stored.connections.delete_many({"updated_at": {"$gte": NOW - timedelta(days=10)}})

    assert names(api, "limit=3") == ["11", "12", "13"]


def test_records_with_odd_moments_are_in_the_list(api, stored):
    odd = ["yesterday", 7, True, Timestamp(2**31, 1), {"at": NOW}, []]
    store_ages(stored, *days(*range(20)), None)
    for number, value in enumerate(odd):
        document(stored, "connections", name=f"odd {number}", updated_at=value)

    found = names(api, "")

    plain = [name for name in found if not name.startswith("odd")]
    assert plain == [str(number) for number in range(21)]
    assert sorted(set(found) - set(plain)) == [f"odd {number}" for number in range(len(odd))]
    assert names(api, "limit=5") == found[:5]
    assert names(api, "limit=5&offset=24") == found[24:29]


def test_records_of_one_moment_cost_one_look_more(api, stored, asked, monkeypatch):
    monkeypatch.setattr(reach, "TIES", 2)
    store_ages(stored, *days(*[3] * 20))
    cursor = re.search(r"cursor=([\w-]+)>", api.get("connections?limit=3&cursor=").headers["link"])[
        1
    ]
    asked.clear()

    names(api, f"limit=3&cursor={cursor}")

    assert [list(condition) for condition in asked] == [["updated_at"], ["$or"]]
    assert len(names(api, "")) == 20


def test_a_filter_or_another_order_looks_at_all(api, stored, asked):
    store_ages(stored, *days(*range(20)))

    names(api, "limit=3&ordering=updated_at")
    names(api, "limit=3&db_type=mysql")

    assert asked == [{}, {"db_type": "mysql"}]


def test_pages_by_cursor_keep_to_an_index(api, stored, asked):
    """A stretch is a range of the index and nothing else."""
    store_ages(stored, *days(*range(20)))
    walk(api, 3)
    stretches = [condition for condition in asked if "$lte" in condition.get("updated_at", {})]

    assert stretches
    for stretch in stretches:
        found = lists._find(Connection, {}, stretch, lists.NEWEST_FIRST, 0, 3)
        plan = str(found.explain()["queryPlanner"]["winningPlan"])
        assert "IXSCAN" in plan
        assert "COLLSCAN" not in plan
