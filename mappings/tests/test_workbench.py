"""The page of a mapping as a workbench: what its own buttons answer, and to whom."""

import pytest
from django.http import QueryDict
from django.urls import reverse

from common.documents import store
from common.tests.client import direct, mapping_body, split
from common.tests.operator import form_fields, someone
from mappings import posted
from mappings.models import Mapping
from mappings.tests.conftest import connection_to, onto

CHANGE = "mappings_mapping_change"
DRY_RUN, PICTURE, VERIFY = (f"mappings_mapping_{page}" for page in ("dry_run", "picture", "verify"))


@pytest.fixture
def mapping(api, postgres):
    postgres.run("DROP TABLE IF EXISTS benched")
    postgres.run("CREATE TABLE benched (id int, name varchar(20), day varchar(20))")
    postgres.run(
        "INSERT INTO benched VALUES (1, 'Ada Lovelace', '2026-01-31'), (2, 'Bob', '<b>soon</b>')"
    )
    body = mapping_body(
        api,
        source_connection_id=connection_to(api, postgres.reader),
        source_query="SELECT id, name, day, 1 AS more FROM benched ORDER BY id",
        target_schema_id=onto(api, key="integer", first="string", last="string", day="date"),
    )
    found = api.create("mappings", body)
    rules = [direct("id", "key"), split("first", "last", source="name"), direct("day", "day")]
    api.create(f"mappings/{found['id']}/column-mappings", rules)
    return found


def fields_of(operator, mapping, **changes):
    return form_fields(operator.html(CHANGE, mapping["id"])) | changes


def test_a_form_is_read_as_the_body_of_a_dry_run():
    data = QueryDict(mutable=True)
    data.update(
        {
            "source_connection": "c",
            "source_query": "SELECT 1",
            "target_schema": "s",
            "key_fields": 'a, "b, c"',
            "column_mappings-TOTAL_FORMS": "4",
            "column_mappings-0-type": "split",
            "column_mappings-0-source_columns": "name",
            "column_mappings-0-target_fields": "first, last",
            "column_mappings-0-option": "␣",
            "column_mappings-1-source_columns": "gone",
            "column_mappings-1-DELETE": "on",
            "column_mappings-2-type": "direct",
            "column_mappings-3-type": "join",
            "column_mappings-3-source_columns": "a\nb",
            "column_mappings-3-overflow": "keep",
        }
    )
    found = posted.body(data)
    assert found["key_fields"] == ["a", "b, c"]
    assert [one["id"] for one in found["column_mappings"]] == ["0", "3"]
    first, last = found["column_mappings"]
    assert first["config"] == {"delimiter": " "}
    assert last["config"] == {"separator": "", "overflow": "keep"}
    assert last["source_columns"] == ["a", "b"]


def test_a_dry_run_marks_what_is_refused_and_says_why(operator, mapping):
    shown = operator.post(DRY_RUN, **fields_of(operator, mapping)).content.decode()
    assert "1 target row" in shown
    assert "Lovelace" in shown
    assert "&lt;b&gt;soon&lt;/b&gt;" in shown
    assert '<span hidden data-problem-of-row="2">1 of 2 refused</span>' in shown
    wrong = {"column_mappings-0-source_columns": "idd"}
    shown = operator.post(DRY_RUN, **fields_of(operator, mapping, **wrong)).content.decode()
    assert 'data-problem-of-row="0"' in shown
    assert "the nearest is &quot;id&quot;" in shown
    fine = wrong | {"column_mappings-2-DELETE": "on"}
    shown = operator.post(DRY_RUN, **fields_of(operator, mapping, **fine)).content.decode()
    assert "a run would fail" in shown
    assert "Refused because" not in shown
    nothing = operator.post(DRY_RUN, **fields_of(operator, mapping, source_query="SELECT"))
    assert "refused" in nothing.content.decode()


def test_who_only_reads_sees_what_is_stored_dry(mapping):
    reader = someone("analyst")
    address = f"{reverse(f'admin:{DRY_RUN}')}?id={mapping['id']}"
    assert "1 target row" in reader.client.post(address).content.decode()
    assert someone("viewer").client.post(address).status_code == 403


def test_the_picture_is_of_the_form_and_of_all_columns(operator, mapping):
    fields = fields_of(operator, mapping, **{"column_mappings-0-DELETE": "on"})
    shown = operator.post(PICTURE, **fields, columns=["id", "name", "day", "m<o"]).content.decode()
    assert 'class="box unread" data-side="source" data-name="id"' in shown
    assert 'data-name="m&lt;o" data-typed="m&lt;o"' in shown
    assert (
        'class="box target" data-side="target" data-name="day" data-typed="day" data-rows="2"'
        in (shown)
    )
    page = operator.html(CHANGE, mapping["id"])
    assert 'class="box unread" data-side="source" data-name="more"' in page


def test_a_problem_stands_beside_its_rule(operator, mapping, postgres, api):
    every = {"source_query": "SELECT * FROM benched ORDER BY id"}
    assert api.put(f"mappings/{mapping['id']}", every).status == 200
    postgres.run("ALTER TABLE benched RENAME COLUMN day TO days")
    shown = operator.post(VERIFY, mapping["id"]).content.decode()
    stored = store.find_one(Mapping, {})["verification"]
    (rule_id,) = {str(one["rule_id"]) for one in stored["problems"] if one["rule_id"]}
    assert f'data-problem-of="{rule_id}"' in shown
    page = operator.html(CHANGE, mapping["id"])
    assert f'<ul class="etl-problems" data-rule="{rule_id}"><li>' in page
    assert someone("analyst").post(VERIFY, mapping["id"]).status_code == 403
