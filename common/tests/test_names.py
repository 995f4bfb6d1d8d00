"""What a name may be: composed, of characters that can be seen."""

import pytest

from common.documents import names
from common.tests.client import KINDS, body, column, document, made, schema_body

COMBINING = "Zu\u0308rich"
UNSEEN = ["a\u202eb", "a\x1b[2Jb", "a\u200bb", "a\x00b", "a\nb", "a\u2028b", "a\ufeffb", "a\x85b"]


@pytest.mark.parametrize(
    ("sent", "stored_as"),
    [
        ("  crm ", "crm"),
        (COMBINING, "Zürich"),
        ("\u0646\u200c\u062e", "\u0646\u200c\u062e"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("e\u0301" * 100, "é" * 100),
    ],
)
def test_a_name_is_trimmed_and_composed(api, sent, stored_as):
    assert made(api, "schemas", name=sent)["name"] == stored_as


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", UNSEEN)
def test_what_cannot_be_seen_is_in_no_name(api, kind, name):
    refused = api.post(kind, body(api, kind, name=name))
    assert (refused.status, list(refused.errors)) == (400, ["name"])


@pytest.mark.parametrize("name", ["\u200c", "\u3164", " \u2800 ", "\u200d\u200d"])
def test_a_name_of_nothing_visible_is_none(api, name):
    refused = api.post("schemas", schema_body(name=name))
    assert refused.messages == {"name": "This field may not be blank."}


def test_a_refusal_says_which_character_and_where():
    assert names.problem("a\u202eb") == (
        "A name has only characters that can be seen: take out U+202E at position 2."
    )


def test_names_that_differ_in_composition_alone_are_one(api):
    made(api, "schemas", name="Zürich")
    assert api.post("schemas", schema_body(name=COMBINING)).code == "duplicate_name"


def test_columns_and_target_fields_are_composed_alike(api):
    schema = made(api, "schemas", columns=[column(COMBINING)])
    assert schema["columns"][0]["name"] == "Zürich"
    mapping = made(api, "mappings", target_schema_id=schema["id"])
    rule = {"type": "direct", "source_columns": [COMBINING], "target_fields": [COMBINING]}
    added = api.create(f"mappings/{mapping['id']}/column-mappings", rule)
    assert added["source_columns"] == [COMBINING]
    assert added["target_fields"] == ["Zürich"]


def test_a_column_of_a_source_is_called_what_the_source_calls_it(api):
    mapping = made(api, "mappings")
    name = " total \u202e" + "x" * 200
    rule = {"type": "direct", "source_columns": [name], "target_fields": ["id"]}
    added = api.create(f"mappings/{mapping['id']}/column-mappings", rule)
    assert added["source_columns"] == [name]


# --- Names that were stored under older rules -----------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_of_an_odd_name_can_be_read_changed_and_sent_back(api, stored, kind):
    written = document(stored, kind, name="odd\x1b[2J\u202e ")
    path = f"{kind}/{written['_id']}"
    record = api.get(path).json()
    sent_back = api.put(path, record).json()
    assert sent_back | {"verification": 0} == record | {"verification": 0}
    change = {"enabled": False} if kind == "schedules" else {"description": "new"}
    if kind == "connections":
        change = {"database": "other"}
    assert api.patch(path, record | change).status == 200
    assert stored[kind].find_one({"_id": written["_id"]})["name"] == written["name"]


def test_a_schema_with_an_odd_column_can_grow(api, stored):
    written = document(stored, "schemas", columns=[column(" odd\u202e ")])
    path = f"schemas/{written['_id']}"
    grown = api.patch(path, {"columns": [*api.get(path).json()["columns"], column("new")]})
    assert [one["name"] for one in grown.json()["columns"]] == [" odd\u202e ", "new"]


def test_nothing_reaches_a_terminal_raw():
    assert names.printable("a\x1b[2Jé\u202e") == "a\\u001b[2Jé\\u202e"
