import re
from datetime import datetime, timedelta

import pytest

from common.documents import store
from common.tests.client import KINDS, NOBODY, body, document, made, query

LINK = re.compile(r'<([^>]+)>; rel="(\w+)"')


def links(answer):
    """Return the address of each related page, without scheme and host."""
    found = LINK.findall(answer.headers.get("link", ""))
    return {rel: address.partition("/api/v1/")[2] for address, rel in found}


@pytest.fixture
def seven(stored):
    """Seven schemas, `s0` the newest, a minute apart."""
    newest = datetime(2026, 1, 31, 8, 0)  # noqa: DTZ001 - as the driver hands it over
    for age in range(7):
        document(stored, "schemas", name=f"s{age}", updated_at=newest - timedelta(minutes=age))


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_list_is_an_empty_array(api, kind):
    answer = api.get(kind)
    assert (answer.status, answer.body) == (200, b"[]")
    assert answer.headers["x-total-count"] == "0"
    assert "link" not in answer.headers


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_changed_last_comes_first(api, kind):
    first, second, third = (made(api, kind)["name"] for _ in range(3))
    assert api.names(kind)[:3] == [third, second, first]
    identifier = next(r["id"] for r in api.get(kind).json() if r["name"] == first)
    api.patch(f"{kind}/{identifier}", {"name": "touched"})
    assert api.names(kind)[:3] == ["touched", third, second]


def test_without_a_limit_a_list_holds_everything(api, seven):
    answer = api.get("schemas")
    assert [record["name"] for record in answer.json()] == [f"s{n}" for n in range(7)]
    assert answer.headers["x-total-count"] == "7"
    assert "link" not in answer.headers


@pytest.mark.parametrize(
    ("asked", "names", "related"),
    [
        ("limit=3", "s0 s1 s2", {"first": 0, "next": 3, "last": 6}),
        ("limit=3&offset=3", "s3 s4 s5", {"first": 0, "prev": 0, "next": 6, "last": 6}),
        ("limit=3&offset=6", "s6", {"first": 0, "prev": 3, "last": 6}),
        ("limit=3&offset=2", "s2 s3 s4", {"first": 0, "prev": 0, "next": 5, "last": 6}),
        ("limit=7", "s0 s1 s2 s3 s4 s5 s6", {"first": 0, "last": 0}),
        ("limit=100", "s0 s1 s2 s3 s4 s5 s6", {"first": 0, "last": 0}),
        ("limit=1&offset=6", "s6", {"first": 0, "prev": 5, "last": 6}),
        ("offset=5", "s5 s6", {}),
        ("offset=7", "", {}),
        ("limit=3&offset=9", "", {"first": 0, "prev": 6, "last": 6}),
    ],
)
def test_a_page_tells_of_the_others(api, seven, asked, names, related):
    answer = api.get(f"schemas?{asked}")
    assert [record["name"] for record in answer.json()] == names.split()
    assert answer.headers["x-total-count"] == "7"
    found = links(answer)
    offsets = {rel: int(re.search(r"offset=(\d+)", path)[1]) for rel, path in found.items()}
    assert offsets == related


def test_the_links_lead_through_the_whole_list_and_keep_what_was_asked(api, seven):
    path, names = "schemas?search=s&limit=2&ordering=name", []
    while path:
        answer = api.get(path)
        names += [record["name"] for record in answer.json()]
        path = links(answer).get("next")
    assert names == [f"s{n}" for n in range(7)]


@pytest.mark.parametrize(
    "asked",
    [
        "limit=0", "limit=-1", "limit=x", "limit=", "limit=1.5", "limit=1e3", "limit=٣",
        "limit=99999999999999999999", "offset=-1", "offset=x", "offset=", "offset=1.5",
        "ordering=", "ordering=nonsense", "ordering=--name", "ordering=name,", "ordering=-",
        "ordering=name,-name", "ordering=password", "ordering=$where", "ordering=columns.0",
        "search=%00", "nonsense=1", "password=x", "$where=1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_that_makes_no_sense_is_a_400_that_names_it(api, kind, asked):
    answer = api.get(f"{kind}?{asked}")
    assert (answer.status, answer.code) == (400, "invalid")
    assert list(answer.errors) == [asked.partition("=")[0]]


def test_all_parameters_that_make_no_sense_are_named_at_once(api):
    answer = api.get("connections?limit=x&offset=-1&ordering=z&db_type=oracle&port=x")
    assert set(answer.errors) == {"limit", "offset", "ordering", "db_type", "port"}


@pytest.mark.parametrize(
    ("ordering", "names"),
    [
        ("name", "a b c"),
        ("-name", "c b a"),
        ("port,name", "c a b"),
        ("-port,-name", "b a c"),
        ("created_at", "a b c"),
        ("-created_at", "c b a"),
        ("id", "a b c"),
        ("-id", "c b a"),
        ("-_id", "c b a"),
        ("updated_at", "a b c"),
    ],
)
def test_a_list_comes_in_the_order_that_is_asked_for(api, ordering, names):
    for name, port in (("a", 2), ("b", 2), ("c", 1)):
        made(api, "connections", name=name, port=port)
    assert api.names(f"connections?ordering={ordering}") == names.split()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("ORDERS", "orders"),
        ("ord", "orders"),
        ("zürich", "Zürich"),
        (".", ""),
        ("a.c", ""),
        ("(", "b(c"),
        ("  orders ", "orders"),
        ("", "orders Zürich b(c"),
        ("nothing like it", ""),
    ],
)
def test_a_search_looks_for_plain_text_in_any_case(api, text, names):
    for name in ("b(c", "Zürich", "orders"):
        made(api, "schemas", name=name)
    assert api.names("schemas" + query(search=text)) == names.split()


def test_filters_are_equalities_and_go_together(api):
    made(api, "connections", name="a", db_type="mysql", host="one", port=3306)
    made(api, "connections", name="b", db_type="mysql", host="two", port=3306)
    made(api, "connections", name="c", db_type="postgresql", host="two", port=1)
    assert api.names("connections?db_type=mysql&ordering=name") == ["a", "b"]
    assert api.names("connections?db_type=mysql&host=two") == ["b"]
    assert api.names("connections?port=1") == ["c"]
    assert api.names("connections?name=a") == ["a"]
    assert api.names("connections?name=A") == []
    assert api.get("connections?db_type=mysql").headers["x-total-count"] == "2"


def test_lists_are_filtered_by_what_they_refer_to(api):
    mapping, other = made(api, "mappings"), made(api, "mappings")
    schedule = made(api, "schedules", mapping_id=mapping["id"], enabled=False)
    made(api, "schedules", mapping_id=other["id"])
    connection, schema = mapping["source_connection_id"], mapping["target_schema_id"]
    assert api.names(f"mappings?source_connection_id={connection}") == [mapping["name"]]
    assert api.names(f"mappings?target_schema_id={schema}") == [mapping["name"]]
    assert api.names(f"mappings?target_schema_id={NOBODY}") == []
    assert api.names(f"schedules?mapping_id={mapping['id']}") == [schedule["name"]]
    assert api.names("schedules?enabled=false") == [schedule["name"]]
    assert api.get("schedules?mapping_id=nonsense").errors == {
        "mapping_id": ("invalid", "Not an id: expected 24 hexadecimal digits.")
    }
    assert api.get("schedules?enabled=perhaps").errors == {
        "enabled": ("invalid", "Expected true or false.")
    }


def test_a_long_list_is_whole_and_valid_json(api, stored):
    made(api, "schemas", name="last")
    copies = [
        body(api, "schemas", name=f"copy {n}", updated_at=datetime(2020, 1, 1))  # noqa: DTZ001
        for n in range(1200)
    ]
    with store.command_timeout():
        stored.schemas.insert_many(copies)
    records = api.get("schemas").json()
    assert len(records) == 1201
    assert len({record["id"] for record in records}) == 1201
    assert api.get("schemas").headers["x-total-count"] == "1201"


@pytest.mark.parametrize(
    ("asked", "total"),
    [
        ("", 7),
        ("?limit=6", 7),
        ("?limit=7", 7),
        ("?limit=9", 7),
        ("?limit=4&offset=4", 7),
        ("?limit=4&offset=9", 7),
        ("?limit=9&cursor=", 7),
        ("?limit=4&cursor=", 7),
        ("?name=s3", 1),
        ("?name=nobody", 0),
    ],
)
def test_a_list_says_how_many_records_there_are(api, seven, asked, total):
    assert api.get(f"schemas{asked}").headers["x-total-count"] == str(total)


@pytest.mark.parametrize(
    ("kind", "field", "shown"),
    [
        ("schedules", "timezone", "UTC"),
        ("schedules", "enabled", "true"),
    ],
)
def test_a_filter_finds_what_a_record_shows_by_default(api, stored, kind, field, shown):
    written = document(stored, kind)
    stored[kind].update_one({"_id": written["_id"]}, {"$unset": {field: ""}})
    assert len(api.get(f"{kind}?{field}={shown}").json()) == 1
