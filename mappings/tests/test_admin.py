"""Mappings in the admin: rules checked and written as one set, previews, copies."""

import io

import pytest
from bson import Decimal128
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.urls import reverse

from common.admin.conflicts import Difference
from common.admin.forms import CHANGED_MEANWHILE, OVERWRITE
from common.tests.client import column, direct, document, join, made, split
from common.tests.operator import form_fields, someone
from sources.errors import QueryFailed, SourceTimeout
from sources.preview import Preview

LIST, ADD, CHANGE = (f"mappings_mapping_{page}" for page in ("changelist", "add", "change"))
PREVIEW = "mappings_mapping_preview"
RULES = "column_mappings"


def row(index, **values):
    """Return the fields of one row of rules."""
    return {f"{RULES}-{index}-{name}": value for name, value in values.items()}


def direct_row(index, source, target):
    return row(index, type="direct", source_columns=source, target_fields=target)


@pytest.fixture
def mapping(api):
    return made(api, "mappings", name="orders")


def rules_of(api, mapping):
    return [
        (rule["type"], rule["source_columns"], rule["target_fields"], rule["config"])
        for rule in api.get(f"mappings/{mapping['id']}/column-mappings").json()
    ]


def config(delimiter=None, separator=None):
    return {"delimiter": delimiter, "separator": separator}


def add_rules(api, mapping, *rules):
    return api.create(f"mappings/{mapping['id']}/column-mappings", list(rules))


def test_a_mapping_is_added_with_its_rules(operator, api):
    source, schema = made(api, "connections"), made(api, "schemas")
    fields = {
        "name": "orders",
        "source_connection": source["id"],
        "target_schema": schema["id"],
        "source_query": "SELECT a\r\nFROM b",
        f"{RULES}-TOTAL_FORMS": "2",
        **direct_row(0, "key", "id"),
        **row(1, type="join", source_columns="first, last", target_fields="name", option=",␣"),
    }
    assert operator.save(ADD, **fields) == {}
    (record,) = api.get("mappings").json()
    assert record["source_query"] == "SELECT a\nFROM b"
    assert rules_of(api, record) == [
        ("direct", ["key"], ["id"], config()),
        ("join", ["first", "last"], ["name"], config(separator=", ")),
    ]


def test_a_page_that_is_saved_unchanged_changes_no_rule(operator, api, mapping, stored):
    odd = direct('last, first "x"', "id")
    rules = [
        odd,
        split("name", "email", delimiter="\t"),
        join("a", " b ", target="n", separator=""),
    ]
    api.put(
        f"schemas/{mapping['target_schema_id']}",
        {"columns": [column(n) for n in ["id", "name", "email", "n"]]},
    )
    add_rules(api, mapping, *rules)
    before = list(stored.column_mappings.find())
    assert operator.save(CHANGE, mapping["id"]) == {}
    assert list(stored.column_mappings.find()) == before


def test_two_rules_may_swap_their_fields(operator, api, mapping):
    kept = add_rules(api, mapping, direct("a", "id"), direct("b", "name"))
    changes = {f"{RULES}-0-target_fields": "name", f"{RULES}-1-target_fields": "id"}
    assert operator.save(CHANGE, mapping["id"], **changes) == {}
    assert [rule[2] for rule in rules_of(api, mapping)] == [["name"], ["id"]]
    after = api.get(f"mappings/{mapping['id']}/column-mappings").json()
    assert [rule["id"] for rule in after] == [rule["id"] for rule in kept]


def test_a_rule_is_deleted_and_its_field_free_again(operator, api, mapping):
    add_rules(api, mapping, direct("a", "id"))
    changes = {
        f"{RULES}-0-DELETE": "on",
        f"{RULES}-TOTAL_FORMS": "2",
        **direct_row(1, "b", "id"),
    }
    assert operator.save(CHANGE, mapping["id"], **changes) == {}
    assert [rule[1] for rule in rules_of(api, mapping)] == [["b"]]


@pytest.mark.parametrize(
    ("rule", "fields", "errors"),
    [
        (direct("a", "gone"), direct_row(0, "a", "gone"), {"target_fields.0": "target_fields"}),
        (
            {**direct("a", "id"), "source_columns": ["a", "b"]},
            direct_row(0, "a, b", "id"),
            {"source_columns": "source_columns"},
        ),
        (
            {**split("id", "name"), "config": {"delimiter": None}},
            row(0, type="split", source_columns="full", target_fields="id, name"),
            {"config.delimiter": "option"},
        ),
        (
            {**direct("a", "id"), "config": {"delimiter": ","}},
            {**direct_row(0, "a", "id"), **row(0, option=",")},
            {"config.delimiter": "option"},
        ),
        (
            direct("a", "id") | {"source_columns": []},
            direct_row(0, "", "id"),
            {"source_columns": "source_columns"},
        ),
    ],
)
def test_what_the_api_refuses_is_refused_with_the_same_sentence(
    operator, api, mapping, rule, fields, errors
):
    said = api.post(f"mappings/{mapping['id']}/column-mappings", rule).messages
    found = operator.save(CHANGE, mapping["id"], **{f"{RULES}-TOTAL_FORMS": "1", **fields})
    assert found == {f"0.{errors[path]}": [said[path]] for path in errors}
    assert rules_of(api, mapping) == []


def test_a_field_written_twice_is_refused_on_the_second_row(operator, api, mapping):
    (first,) = add_rules(api, mapping, direct("a", "id"))
    changes = {f"{RULES}-TOTAL_FORMS": "2", **direct_row(1, "b", "id")}
    assert operator.save(CHANGE, mapping["id"], **changes) == {
        "1.target_fields": [f'"id" is already written by the direct rule {first["id"]}.']
    }


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"source_query": "DELETE FROM a"}, "source_query"),
        ({"source_query": ""}, "source_query"),
        ({"source_connection": "0123456789abcdef01234567"}, "source_connection"),
    ],
)
def test_a_mapping_is_refused_with_the_sentence_of_the_api(operator, api, mapping, changes, field):
    path = {"source_connection": "source_connection_id"}.get(field, field)
    sentence = api.patch(f"mappings/{mapping['id']}", {path: changes[field]}).messages[path]
    assert operator.save(CHANGE, mapping["id"], **changes) == {field: [sentence]}


def test_a_schema_that_lacks_a_written_field_is_refused(operator, api, mapping):
    add_rules(api, mapping, direct("a", "email"))
    other = made(api, "schemas", columns=[column("id")])
    refused = api.patch(f"mappings/{mapping['id']}", {"target_schema_id": other["id"]})
    found = operator.save(CHANGE, mapping["id"], target_schema=other["id"])
    assert found["target_schema"] == [refused.messages["target_schema_id"]]


def test_a_rule_changed_meanwhile_is_not_overwritten(operator, api, mapping):
    (rule,) = add_rules(api, mapping, direct("a", "id"))
    fields = form_fields(operator.html(CHANGE, mapping["id"]))
    path = f"mappings/{mapping['id']}/column-mappings/{rule['id']}"
    api.patch(path, {"source_columns": ["theirs"]})
    fields |= {f"{RULES}-0-source_columns": ["mine"]}
    assert operator.errors(operator.post(CHANGE, mapping["id"], **fields)) != {}
    assert api.get(path).json()["source_columns"] == ["theirs"]


def test_a_rule_deleted_meanwhile_is_told(operator, api, mapping):
    (rule,) = add_rules(api, mapping, direct("a", "id"))
    fields = form_fields(operator.html(CHANGE, mapping["id"]))
    api.delete(f"mappings/{mapping['id']}/column-mappings/{rule['id']}")
    errors = operator.errors(operator.post(CHANGE, mapping["id"], **fields))
    assert errors["rules"] == [str(CHANGED_MEANWHILE.message)]


def test_what_was_typed_of_rules_is_saved_over_newer_ones_on_purpose(operator, api, mapping):
    changed, gone = add_rules(api, mapping, direct("a", "id"), direct("b", "name"))
    typed = form_fields(operator.html(CHANGE, mapping["id"]))
    typed |= {f"{RULES}-0-source_columns": ["mine"], f"{RULES}-1-source_columns": ["mine too"]}
    path = f"mappings/{mapping['id']}/column-mappings"
    api.patch(f"{path}/{changed['id']}", {"source_columns": ["theirs"]})
    api.delete(f"{path}/{gone['id']}")
    page = operator.post(CHANGE, mapping["id"], **typed)
    (difference,) = page.context["conflict"].differences
    assert difference == Difference(
        "Column mappings", "direct mine → id\ndirect mine too → name", "direct theirs → id"
    )
    again = form_fields(page.content.decode()) | {OVERWRITE: [page.context["conflict"].version]}
    assert operator.errors(operator.post(CHANGE, mapping["id"], **again)) == {}
    assert [rule[1] for rule in rules_of(api, mapping)] == [["mine"], ["mine too"]]


def test_a_mapping_whose_rules_are_refused_stays_as_it_was(operator, api, mapping, monkeypatch):
    """The rules are written after the mapping, and both in one transaction."""

    def refuse(*args):
        raise ValidationError({"0.target_fields": ["Another program wrote it first."]})

    monkeypatch.setattr("mappings.rules._refuse_misfits", refuse)
    changes = {f"{RULES}-TOTAL_FORMS": "1", **direct_row(0, "a", "id")}
    assert operator.save(CHANGE, mapping["id"], name="renamed", **changes) != {}
    assert api.names("mappings") == ["orders"]
    assert not LogEntry.objects.exists()


def test_names_of_a_source_are_kept_as_they_are(operator, api, mapping):
    long = "x" * 256
    rule = row(0, type="join", source_columns=f'" total "\r\n"last, first"\r\n{long}')
    fields = {**rule, f"{RULES}-0-target_fields": "name", f"{RULES}-0-option": "-"}
    changes = {f"{RULES}-TOTAL_FORMS": "1", **fields}
    assert operator.save(CHANGE, mapping["id"], **changes) == {}
    assert rules_of(api, mapping)[0][1] == [" total ", "last, first", long]
    assert operator.save(CHANGE, mapping["id"]) == {}
    assert rules_of(api, mapping)[0][1] == [" total ", "last, first", long]


def test_target_fields_are_named_as_the_schema_has_them(operator, api):
    schema = made(api, "schemas", columns=[column("caf\u00e9")])
    mapping = made(api, "mappings", target_schema_id=schema["id"])
    changes = {f"{RULES}-TOTAL_FORMS": "1", **direct_row(0, "a", "cafe\u0301")}
    assert operator.save(CHANGE, mapping["id"], **changes) == {}
    assert rules_of(api, mapping)[0][2] == ["caf\u00e9"]


def test_a_split_says_what_becomes_of_more_pieces(operator, api, mapping):
    add_rules(api, mapping, split("id", "name"), direct("a", "email"))
    assert operator.save(CHANGE, mapping["id"], **row(0, overflow="keep")) == {}
    assert rules_of(api, mapping)[0][3] == config(delimiter=" ") | {"overflow": "keep"}
    assert operator.save(CHANGE, mapping["id"], **row(1, overflow="drop")) == {
        "1.overflow": ["A direct rule has no overflow."]
    }
    assert operator.save(CHANGE, mapping["id"], **row(0, overflow="")) == {}
    assert rules_of(api, mapping)[0][3] == config(delimiter=" ")


def test_deleting_a_mapping_says_what_goes_with_it(operator, api, mapping):
    add_rules(api, mapping, direct("a", "id"), direct("b", "name"))
    page = operator.html("mappings_mapping_delete", mapping["id"])
    assert "Delete the mapping &quot;orders&quot;, and with it 2 column mappings?" in page
    made(api, "schedules", name="nightly", mapping_id=mapping["id"])
    page = operator.html("mappings_mapping_delete", mapping["id"])
    assert "is in use by the schedule &quot;nightly&quot;." in page


def test_references_in_text_count(operator, stored):
    mapping = document(stored, "mappings", name="orders")
    as_text = {"source_connection_id": str(mapping["source_connection_id"])}
    stored.mappings.update_one({"_id": mapping["_id"]}, {"$set": as_text})
    source = {"source_connection__id__exact": as_text["source_connection_id"]}
    assert [one.name for one in operator.get(LIST, **source).context["cl"].result_list] == [
        "orders"
    ]
    page = operator.html("connections_connection_changelist")
    assert f'__id__exact={as_text["source_connection_id"]}">1</a>' in page


def test_the_list_says_which_mappings_cannot_run_and_why(operator, mapping, stored):
    problem = {"code": "unknown_column", "message": "There is no <b>weight</b>.", "rule_id": None}
    found = {"status": "broken", "checked_at": None, "columns": [], "problems": [problem]}
    stored.mappings.update_one({}, {"$set": {"verification": found}})
    page = operator.html(LIST)
    assert 'etl-bad" title="There is no &lt;b&gt;weight&lt;/b&gt;.">broken</span>' in page
    stored.mappings.update_one({}, {"$set": {"verification": {"status": 7, "problems": [7]}}})
    assert "orders" in operator.html(LIST)


def test_the_picture_is_in_the_page(operator, api, mapping):
    add_rules(api, mapping, direct("<b>key</b>", "id"))
    page = operator.html(CHANGE, mapping["id"])
    assert 'class="line direct"' in page
    assert "unmapped: name, email" in page
    assert "<b>key" not in page


def test_a_rule_has_a_page_of_its_own(operator, api, mapping):
    (rule,) = add_rules(api, mapping, direct("a", "id"))
    page = "mappings_columnmapping_change"
    assert operator.save(page, rule["id"], source_columns="b") == {}
    assert rules_of(api, mapping)[0][1] == ["b"]
    assert operator.save(page, rule["id"], target_fields="gone") == {
        "target_fields": ['The target schema has no column "gone".']
    }


def test_a_mapping_whose_references_are_gone_breaks_no_page(operator, stored):
    lost = document(stored, "mappings", name="lost")
    stored.connections.delete_many({})
    stored.schemas.delete_many({})
    assert "missing" in operator.html(LIST)
    assert "lost" in operator.html(CHANGE, lost["_id"])


# --- Copies --------------------------------------------------------------------------------------


def test_mappings_are_copied_with_their_rules(operator, api, mapping):
    add_rules(api, mapping, direct("a", "id"), join("b", "c"))
    made(api, "mappings", name="orders (copy)")
    messages = operator.act(LIST, "copy_selected", [mapping["id"]])
    assert messages[0] == "1 of 1 mapping copied."
    (copy,) = [one for one in api.get("mappings").json() if one["name"] == "orders (copy 2)"]
    assert rules_of(api, copy) == rules_of(api, mapping)
    assert copy["source_query"] == mapping["source_query"]


def test_a_copy_of_a_long_name_is_cut(operator, api):
    long = made(api, "mappings", name="x" * 100)
    operator.act(LIST, "copy_selected", [long["id"]])
    assert "x" * 93 + " (copy)" in api.names("mappings")


def test_what_cannot_be_copied_is_told(operator, stored):
    lost = document(stored, "mappings", name="lost")
    stored.connections.delete_many({})
    (message,) = operator.act(LIST, "copy_selected", [lost["_id"]])
    assert message.startswith('0 of 1 mapping copied: "lost":')
    assert stored.mappings.count_documents({}) == 1


# --- Previews ------------------------------------------------------------------------------------


@pytest.fixture
def previewing(operator, api, monkeypatch):
    """Return a function that previews a query, answered by `outcome`."""
    source = made(api, "connections")

    def preview(outcome, query="SELECT 1"):
        def run_preview(params, sql, **limits):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr("mappings.preview.run_preview", run_preview)
        fields = {"source_connection": source["id"], "source_query": query}
        return operator.post(PREVIEW, **fields).content.decode()

    return preview


def test_a_preview_is_a_table_with_types_time_and_whether_there_is_more(previewing):
    rows = [[1, "<b>Ada</b>", True], [2, None, False]]
    answer = previewing(
        Preview(["id", "name", "ok"], ["integer", "string", None], rows, 2, True, 12.34)
    )
    for shown in ("2 rows", "12.3 ms", "there are more", "integer", "no fitting type", "null"):
        assert shown in answer
    assert "&lt;b&gt;Ada&lt;/b&gt;" in answer


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (QueryFailed('relation "x" does not exist'), "relation &quot;x&quot; does not exist"),
        (
            SourceTimeout("The source stayed silent.", hint="Look."),
            "The source stayed silent. Look.",
        ),
    ],
)
def test_a_refused_preview_is_a_sentence(previewing, outcome, sentence):
    assert sentence in previewing(outcome)


def test_a_preview_without_a_connection_says_what_to_choose(operator):
    assert "Choose a source connection first." in operator.post(PREVIEW).content.decode()


def test_an_empty_query_is_refused_as_by_the_api(previewing):
    assert "This field may not be blank." in previewing(None, query=" ")


@pytest.mark.parametrize(
    ("role", "status"), [(None, 403), ("viewer", 403), ("analyst", 200), ("editor", 200)]
)
def test_a_preview_takes_the_role_that_the_api_asks_for(stored, role, status):
    assert someone(role).post(PREVIEW).status_code == status


def test_an_analyst_previews_a_mapping_that_they_may_not_change(stored):
    mapping = document(stored, "mappings", source_query="SELECT 42")
    page = someone("analyst").html("mappings_mapping_change", mapping["_id"])
    assert 'name="source_query" value="SELECT 42"' in page
    assert "data-fragment" in page


def test_a_preview_takes_a_post_and_a_person_who_may_change(operator, client):
    assert operator.get(PREVIEW).status_code == 405
    assert client.post(reverse(f"admin:{PREVIEW}")).status_code == 302


@pytest.mark.parametrize("odd", [None, 5, [["a"]], {"$odd": 1}, Decimal128("NaN"), b"\xff"])
def test_garbled_rules_and_references_break_no_page(operator, stored, odd):
    mapping = document(stored, "mappings", target_schema_id=odd)
    garbled = dict.fromkeys(["type", "source_columns", "target_fields", "config"], odd)
    document(stored, "column_mappings", mapping_id=mapping["_id"], **garbled)
    for page in ("mappings_columnmapping_changelist", "mappings_mapping_changelist"):
        assert operator.get(page).status_code == 200
    assert operator.get("mappings_mapping_change", mapping["_id"]).status_code == 200
    report = io.StringIO()
    with pytest.raises(CommandError, match="refer to nothing"):
        call_command("check_references", stdout=report, stderr=report)
