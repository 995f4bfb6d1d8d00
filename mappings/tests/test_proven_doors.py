"""The admin and files of configuration ask the source as the API does."""

import pytest

from common.tests.client import direct, mapping_body
from common.tests.operator import form_fields
from mappings.tests.conftest import connection_to
from portability.plan import plan
from portability.text import Problems

PAGE = "mappings_mapping_change"


@pytest.fixture
def record(api, postgres):
    postgres.run("DROP TABLE IF EXISTS doors")
    postgres.run("CREATE TABLE doors (id int, name text)")
    body = mapping_body(
        api,
        name="doors",
        source_connection_id=connection_to(api, postgres.reader),
        source_query="SELECT * FROM doors",
    )
    made = api.create("mappings", body)
    api.create(f"mappings/{made['id']}/column-mappings", direct("name", "name"))
    return made


def file_with(api, record, query, column):
    schema = api.get(f"schemas/{record['target_schema_id']}").json()["name"]
    source = api.get(f"connections/{record['source_connection_id']}").json()["name"]
    return f"""
version: 2
mappings:
  doors:
    source_connection: {source}
    source_query: {query}
    target_schema: {schema}
    column_mappings:
      - {{type: direct, source_columns: [{column}], target_fields: [name]}}
"""


@pytest.mark.parametrize(
    ("query", "column", "said"),
    [
        ("SELECT nope FROM doors", "name", 'column "nope" does not exist'),
        ("SELECT * FROM doors", "nam", 'does not return the column "nam"; the nearest is "name"'),
        ("SELECT id FROM doors", "name", 'does not return the column "name"'),
    ],
)
def test_a_file_is_refused_for_what_the_source_refuses(api, record, query, column, said):
    with pytest.raises(Problems) as raised:
        plan(file_with(api, record, query, column), {})
    assert any(said in problem.message for problem in raised.value.problems)


def test_a_file_changes_query_and_rules_together(api, record):
    found = plan(file_with(api, record, "SELECT name AS other FROM doors", "other"), {})
    (change,) = found.changes
    assert change.record.verification.status == "verified"


def test_the_admin_refuses_what_the_source_refuses(api, operator, record):
    page = "mappings_mapping_change"
    said = operator.save(page, record["id"], source_query="SELECT nope FROM doors")
    assert 'column "nope" does not exist' in str(said)
    said = operator.save(page, record["id"], **{"column_mappings-0-source_columns": "nam"})
    assert 'the nearest is "name"' in str(said)
    assert api.get(f"mappings/{record['id']}").json()["source_query"] == "SELECT * FROM doors"


def test_the_admin_tells_all_problems_at_once_each_rules_in_its_row(api, operator, record):
    (rule,) = api.get(f"mappings/{record['id']}/column-mappings").json()
    wrong = {"write_mode": "upsert", "key_fields": "id", "cursor_column": "when"}
    fields = form_fields(operator.html(PAGE, record["id"])) | wrong
    fields["column_mappings-0-source_columns"] = "nam"
    shown = operator.post(PAGE, record["id"], **fields).content.decode()
    assert "No rule writes id" in shown
    assert "does not return the column &quot;when&quot;" in shown
    row = f'<ul class="etl-problems" data-rule="{rule["id"]}"><li>The query does not return'
    assert row in shown
    fields |= {"key_fields": "name", "cursor_column": ""}
    assert row in operator.post(PAGE, record["id"], **fields).content.decode()


def test_the_admin_takes_a_key_and_the_rule_that_writes_it_together(operator, record):
    fields = {"write_mode": "upsert", "key_fields": "id", "column_mappings-TOTAL_FORMS": "2"}
    rule = {"type": "direct", "source_columns": "id", "target_fields": "id"}
    fields |= {f"column_mappings-1-{name}": value for name, value in rule.items()}
    assert operator.save(PAGE, record["id"], **fields) == {}
