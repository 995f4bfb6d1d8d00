"""export_config and import_config: the store as one file, and back."""

import io
import json
import re

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from common.tests.client import (
    PASSWORD,
    column,
    column_mapping_document,
    connection_body,
    connection_document,
    direct,
    join,
    mapping_body,
    mapping_document,
    schedule_body,
    schema_body,
    split,
)
from portability import kinds
from portability.apply import Interfered, apply as apply_plan
from portability.plan import plan

COLLECTIONS = ("connections", "schemas", "mappings", "column_mappings", "schedules")

SHOP = """\
# The configuration of an ETL engine. Apply it with: python manage.py import_config FILE
# Secrets are read from the environment variables that stand in their place.
version: 2

connections:
  crm:
    db_type: postgresql
    host: db.example.com
    port: 5432
    database: shop
    username: etl
    password: ${ETL_SECRET_CRM_PASSWORD}
    ssl_mode: prefer
    ssh_port: 22

schemas:
  people:
    description: Who buys.
    columns:
    - {name: id, data_type: integer}
    - {name: first, data_type: string}
    - {name: last, data_type: string}
    - {name: name, data_type: string}

targets: {}

mappings:
  Crm people:
    source_connection: crm
    source_query: |-
      SELECT id, full
        FROM customers
    target_schema: people
    target_table: people
    write_mode: append
    key_fields: []
    cursor_lag_s: 0
    max_rejected: 0
    engine: auto
    column_mappings:
    - type: direct
      source_columns: [id]
      target_fields: [id]
    - type: split
      source_columns: [full]
      target_fields: [first, last]
      config: {delimiter: ' '}
    - type: join
      source_columns: [a, b]
      target_fields: [name]
      config: {separator: ', '}

schedules:
  nightly:
    mapping: Crm people
    cron_expression: 0 2 * * *
    timezone: Europe/Berlin
    enabled: true
    overlap: skip
    catch_up: latest
    catch_up_window_s: 3600
    jitter_s: 0

notifications: {}
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("ETL_SECRET_CRM_PASSWORD", PASSWORD)
    monkeypatch.delenv("MISSING", raising=False)


@pytest.fixture
def shop(api):
    """The store that `SHOP` describes, made over REST."""
    connection = api.create("connections", connection_body(name="crm"))["id"]
    columns = [column("id", "integer"), column("first"), column("last"), column("name")]
    schema = api.create(
        "schemas", schema_body(name="people", description="Who buys.", columns=columns)
    )["id"]
    mapping = api.create(
        "mappings",
        mapping_body(
            api,
            name="Crm people",
            source_connection_id=connection,
            source_query="SELECT id, full\n  FROM customers",
            target_schema_id=schema,
        ),
    )["id"]
    rules = [direct(), split("first", "last"), join("a", "b", separator=", ")]
    assert api.post(f"mappings/{mapping}/column-mappings", rules).status == 201
    api.create(
        "schedules",
        schedule_body(
            api,
            name="nightly",
            mapping_id=mapping,
            cron_expression="0 2 * * *",
            timezone="Europe/Berlin",
        ),
    )
    return api


@pytest.fixture
def apply(tmp_path):
    """Apply a file's content; return what is printed."""

    def apply(content: str, *options: str) -> str:
        file = tmp_path / "config.yaml"
        file.write_text(content)
        out = io.StringIO()
        call_command("import_config", file, *options, stdout=out, stderr=io.StringIO())
        return out.getvalue()

    return apply


@pytest.fixture
def refused(apply, tmp_path):
    """Apply a file that is wrong; return its problems, the file's name left out."""

    def refused(content: str, *options: str) -> list[str]:
        with pytest.raises(CommandError) as failure:
            apply(content, *options)
        first, *problems = str(failure.value).splitlines()
        assert first.startswith("Nothing was written;")
        return [problem.strip().removeprefix(f"{tmp_path}/config.yaml:") for problem in problems]

    return refused


def exported() -> str:
    out = io.StringIO()
    call_command("export_config", stdout=out, stderr=io.StringIO())
    return out.getvalue()


def contents(stored):
    return {name: list(stored[name].find()) for name in COLLECTIONS}


def wipe(stored):
    for name in COLLECTIONS:
        stored[name].delete_many({})


# --- Export ---------------------------------------------------------------------------------------


def test_the_file_has_everything_by_name_and_no_secret(shop):
    assert exported() == SHOP


def test_records_stand_in_the_order_of_their_names(api):
    for name in ("b", "a", "B", "10", "9"):
        api.create("connections", connection_body(name=name))

    names = [line for line in exported().splitlines() if line.startswith("  ") and line[2] != " "]
    assert names == ["  '10':", "  '9':", "  B:", "  a:", "  b:"]


def test_each_secret_has_a_variable_of_its_own(api):
    for name in ("crm", "Crm", "crm ssh", "2nd", "数据"):
        api.create("connections", connection_body(name=name))

    variables = [line.split()[1] for line in exported().splitlines() if "password:" in line]
    assert len(set(variables)) == 5
    assert {"${ETL_SECRET_2ND_PASSWORD}", "${ETL_SECRET_CONNECTION_PASSWORD}"} < set(variables)
    assert all(re.fullmatch(r"\$\{[A-Z_][A-Z0-9_]*\}", variable) for variable in variables)


def test_a_password_that_no_key_opens_is_no_obstacle(stored):
    lost = Fernet(Fernet.generate_key()).encrypt(b"x").decode()
    stored.connections.insert_one(connection_document(name="lost", password=lost))

    assert "password: ${ETL_SECRET_LOST_PASSWORD}" in exported()


def test_what_cannot_be_written_whole_is_named_and_the_rest_written(stored, capsys):
    stored.mappings.insert_one(mapping_document(name="lost"))
    nameless = connection_document()
    del nameless["name"]
    stored.connections.insert_one(nameless)
    out = io.StringIO()

    with pytest.raises(CommandError) as failure:
        call_command("export_config", stdout=out)

    assert str(failure.value) == (
        "These are not in the file, or not whole:\n"
        f"  The connection {nameless['_id']} has no name.\n"
        '  The mapping "lost" refers to a source connection that is gone.\n'
        '  The mapping "lost" refers to a target schema that is gone.'
    )
    assert "source_query: SELECT 1" in out.getvalue()


def test_a_file_is_replaced_whole(shop, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("before")

    call_command("export_config", "--output", file)

    assert file.read_text() == SHOP
    assert [found.name for found in tmp_path.iterdir()] == ["config.yaml"]


# --- Round trips ----------------------------------------------------------------------------------


def test_export_wipe_import_export_is_byte_for_byte_the_same(shop, stored, apply):
    wipe(stored)

    assert apply(SHOP).endswith("4 to create, 0 to change, 0 to delete; 0 unchanged.\nWritten.\n")
    assert exported() == SHOP


def test_odd_texts_survive_the_round_trip(api, stored, apply, monkeypatch):
    monkeypatch.setenv("ETL_SECRET_N_1_NULL_PASSWORD", PASSWORD)
    connection = api.create("connections", connection_body(name="ñ: [1] # null"))["id"]
    for query in (
        "SELECT 'a: \"b\" #c'\n  \n FROM t -- x ",
        "SELECT\t1\r\nFROM t",
        "SELECT '🙂\u2028'",
    ):
        api.create(
            "mappings", mapping_body(api, source_connection_id=connection, source_query=query)
        )
    before = exported()
    queries = {found["name"]: found["source_query"] for found in stored.mappings.find()}
    wipe(stored)

    apply(before)

    assert exported() == before
    assert {found["name"]: found["source_query"] for found in stored.mappings.find()} == queries


def test_applying_the_same_file_twice_changes_nothing_the_second_time(shop, stored, apply):
    before = contents(stored)

    assert apply(SHOP) == "0 to create, 0 to change, 0 to delete; 4 unchanged.\n"
    assert contents(stored) == before


def test_documents_of_other_programs_count_as_unchanged_though_they_lack_defaults(stored, apply):
    token = Fernet(Fernet.generate_key()).encrypt(b"x").decode()
    stored.connections.insert_one(connection_document(name="old", password=token))
    before = contents(stored)

    assert apply(exported()).startswith("0 to create, 0 to change, 0 to delete; 1 unchanged.")
    assert contents(stored) == before


def test_a_reference_in_text_counts_as_one(shop, stored):
    mapping = stored.mappings.find_one()
    for name in ("source_connection_id", "target_schema_id"):
        stored.mappings.update_one({}, {"$set": {name: str(mapping[name]).upper()}})
    stored.column_mappings.update_many({}, {"$set": {"mapping_id": str(mapping["_id"])}})
    stored.schedules.update_many({}, {"$set": {"mapping_id": str(mapping["_id"])}})

    assert exported() == SHOP


def test_what_breaks_newer_rules_may_stay_and_change_elsewhere(shop, stored, apply, monkeypatch):
    name = " e\u0301\u202e"
    stored.connections.update_one({}, {"$set": {"name": name}})
    stored.column_mappings.update_many({}, {"$set": {"source_columns": ["id"] * 3}})
    monkeypatch.setenv("ETL_SECRET_E_PASSWORD", PASSWORD)
    content = exported()
    before = contents(stored)

    assert apply(content).startswith("0 to create, 0 to change, 0 to delete; 4 unchanged.")
    assert contents(stored) == before
    apply(content.replace("database: shop", "database: shop2"))
    assert stored.connections.find_one()["database"] == "shop2"


def test_a_name_in_another_composition_is_the_same(shop, stored, apply):
    stored.schedules.update_one({}, {"$set": {"name": "é"}})

    assert apply(SHOP.replace("nightly", "e\u0301")) == (
        "0 to create, 0 to change, 0 to delete; 4 unchanged.\n"
    )


# --- Versions -------------------------------------------------------------------------------------


TARGETS_OF_MAPPING = """\
    target_table: people
    write_mode: append
    key_fields: []
    cursor_lag_s: 0
    max_rejected: 0
    engine: auto
"""


def without_targets(content: str) -> str:
    """Return a file without what older ones have no words for: where rows go."""
    return (
        content.replace("targets: {}\n\n", "")
        .replace(TARGETS_OF_MAPPING, "")
        .removesuffix("\nnotifications: {}\n")
    )


@pytest.mark.parametrize("first_line", ["", "version: 1\n"])
def test_an_older_file_leaves_what_it_cannot_say(shop, stored, apply, monkeypatch, first_line):
    monkeypatch.setitem(kinds.FIELDS_OF_VERSION_1, "schemas", frozenset({"columns"}))
    monkeypatch.delitem(kinds.FIELDS_OF_VERSION_1, "schedules")
    split = {"type": "split"}
    stored.column_mappings.update_one(split, {"$set": {"config.overflow": "keep"}})
    before = contents(stored)
    older = without_targets(SHOP).replace("version: 2\n", first_line)
    older = older.replace("    description: Who buys.\n", "")
    older = older[: older.index("schedules:")]

    assert apply(older, "--prune") == "0 to create, 0 to change, 0 to delete; 3 unchanged.\n"
    assert contents(stored) == before
    apply(older.replace("[full]", "[full_name]"))
    (rule,) = stored.column_mappings.find(split)
    assert rule["source_columns"] == ["full_name"]
    assert rule["config"]["overflow"] == "keep"


def test_an_older_file_cannot_say_what_is_newer(stored, refused, monkeypatch):
    monkeypatch.setitem(kinds.FIELDS_OF_VERSION_1, "schemas", frozenset({"columns"}))
    monkeypatch.delitem(kinds.FIELDS_OF_VERSION_1, "schedules")
    older = (
        without_targets(SHOP)
        .replace("version: 2\n", "")
        .replace("{delimiter: ' '}", "{overflow: keep}")
    )

    newer = 'Older files have none: write "version: 2" at the top.'
    assert [said for said in refused(older) if newer in said] == [
        f'17:5: schema "people", description: {newer}',
        f'38:16: mapping "Crm people", column_mappings.1.config.overflow: {newer}',
        f"44:1: schedules: {newer}",
    ]


@pytest.mark.parametrize("version", ["0", "3", "true", "'2'", "1.0", ""])
def test_a_file_of_another_version_is_refused(stored, refused, version):
    (problem,) = refused(SHOP.replace("version: 2", f"version: {version}"))

    assert problem.endswith(": version: Expected 2, or 1 for a file of the older form.")


# --- Plans ----------------------------------------------------------------------------------------

CHANGES = {
    "db.example.com": "db2.example.com",
    "    description: Who buys.\n": "",
    "SELECT id, full\n": "SELECT id, full, a\n",
    "separator: ', '": "separator: ''",
    "  nightly:": "  weekly:",
}
CHANGED = SHOP
for before, after in CHANGES.items():
    CHANGED = CHANGED.replace(before, after)


def test_a_plan_tells_each_change_field_by_field_and_writes_nothing(shop, stored, apply):
    before = contents(stored)

    assert (
        apply(CHANGED, "--plan", "--prune")
        == """\
~ connection "crm"
    host: db.example.com → db2.example.com
~ schema "people"
    description: Who buys. → (none)
~ mapping "Crm people"
    source_query:
      - SELECT id, full
      + SELECT id, full, a
      ?                +++
          FROM customers
    column_mappings:
        direct id → id
        split full → first, last delimiter=' '
      - join a, b → name separator=', '
      + join a, b → name separator=''
+ schedule "weekly"
    mapping: Crm people
    cron_expression: 0 2 * * *
    timezone: Europe/Berlin
    enabled: true
    overlap: skip
    catch_up: latest
    catch_up_window_s: 3600
    jitter_s: 0
- schedule "nightly"
1 to create, 3 to change, 1 to delete; 0 unchanged.
""".replace("      ?                +++\n", "")
    )
    assert contents(stored) == before


def test_what_was_planned_is_what_is_done(shop, stored, apply):
    plan = apply(CHANGED, "--plan", "--prune")

    assert apply(CHANGED, "--prune") == plan + "Written.\n"
    assert exported() == CHANGED


def test_without_prune_nothing_is_deleted(shop, stored, apply):
    apply("connections: {}\nschemas: {}\nmappings: {}\nschedules: {}\n")

    assert exported() == SHOP


def test_prune_empties_only_the_sections_that_the_file_has(shop, stored, apply):
    apply("schedules: {}\n", "--prune")

    kept = SHOP[: SHOP.index("  nightly")].replace("schedules:\n", "schedules: {}\n")
    assert exported() == f"{kept}\nnotifications: {{}}\n"


def test_a_plan_can_be_read_by_programs(shop, apply):
    plan = json.loads(apply(CHANGED, "--plan", "--json"))

    assert plan["unchanged"] == 0
    assert plan["changes"][0] == {
        "action": "change",
        "kind": "connections",
        "name": "crm",
        "fields": {"host": {"before": "db.example.com", "after": "db2.example.com"}},
    }


def test_a_change_keeps_the_id_and_what_other_programs_noted(shop, stored, apply):
    stored.connections.update_one({}, {"$set": {"colour": "red"}})
    before = stored.connections.find_one()

    apply(CHANGED)

    after = stored.connections.find_one()
    assert after["host"] == "db2.example.com"
    assert after["updated_at"] > before["updated_at"]
    # The secret that goes to the new place was brought, and is stored anew.
    changed = {"host": "", "updated_at": "", "password": ""}
    assert after | changed == before | changed
    assert opened(shop, stored) == PASSWORD


def test_a_mapping_moves_to_another_schema_with_its_rules(shop, stored, apply):
    apply(
        """
        schemas:
          other: {columns: [{name: key, data_type: integer}]}
        mappings:
          Crm people:
            source_connection: crm
            source_query: SELECT id FROM customers
            target_schema: other
            column_mappings: [{type: direct, source_columns: [id], target_fields: [key]}]
        """
    )

    assert "target_schema: other" in exported()
    assert [rule["target_fields"] for rule in stored.column_mappings.find()] == [["key"]]


# --- Secrets --------------------------------------------------------------------------------------


def opened(api, stored, name="crm"):
    from connections.models import Connection

    return Connection.from_document(stored.connections.find_one({"name": name})).params().password


def test_a_secret_comes_from_the_environment(shop, stored, apply, monkeypatch):
    monkeypatch.setenv("ETL_SECRET_CRM_PASSWORD", "another")

    assert apply(SHOP, "--plan") == (
        '~ connection "crm"\n    password: taken from ${ETL_SECRET_CRM_PASSWORD}\n'
        "0 to create, 1 to change, 0 to delete; 3 unchanged.\n"
    )
    apply(SHOP)
    assert opened(shop, stored) == "another"


def test_a_variable_that_is_not_set_keeps_the_stored_secret(shop, stored, apply, monkeypatch):
    monkeypatch.delenv("ETL_SECRET_CRM_PASSWORD")
    before = stored.connections.find_one()

    apply(SHOP.replace("database: shop", "database: shop2"))

    after = stored.connections.find_one()
    assert (after["database"], after["password"]) == ("shop2", before["password"])


def test_a_secret_that_is_stored_already_keeps_its_token(shop, stored, apply):
    before = stored.connections.find_one()

    apply(SHOP.replace("database: shop", "database: shop2"))

    assert stored.connections.find_one()["password"] == before["password"]


def test_a_stored_secret_does_not_go_to_another_place(shop, stored, apply, refused, monkeypatch):
    monkeypatch.delenv("ETL_SECRET_CRM_PASSWORD")
    before = contents(stored)

    assert refused(CHANGED) == [
        '12:5: connection "crm", password: The connection would lead elsewhere: give password '
        "again with the new place. Set ETL_SECRET_CRM_PASSWORD in the environment."
    ]
    assert refused(CHANGED.replace("    password: ${ETL_SECRET_CRM_PASSWORD}\n", "")) == [
        '6:3: connection "crm", password: The connection would lead elsewhere: give password '
        "again with the new place."
    ]
    assert contents(stored) == before


def test_a_secret_that_is_brought_goes_along(shop, stored, apply, monkeypatch):
    plan = apply(CHANGED, "--plan")
    assert plan.startswith('~ connection "crm"\n    host: db.example.com → db2.example.com\n~')
    apply(CHANGED)
    assert opened(shop, stored) == PASSWORD

    monkeypatch.setenv("ETL_SECRET_CRM_PASSWORD", "another")
    apply(SHOP)
    assert opened(shop, stored) == "another"


def test_a_new_connection_needs_its_secret(stored, refused):
    content = SHOP.replace("${ETL_SECRET_CRM_PASSWORD}", "${ETL_SECRET_MISSING}")

    assert refused(content) == [
        '12:5: connection "crm", password: Set ETL_SECRET_MISSING in the environment.'
    ]


def test_a_secret_written_out_is_refused_and_not_repeated(stored, refused):
    (problem,) = refused(SHOP.replace("${ETL_SECRET_CRM_PASSWORD}", "hunter2"))

    assert problem == (
        '12:5: connection "crm", password: Expected a reference such as '
        "${ETL_SECRET_CRM_PASSWORD}, not a secret itself."
    )


def test_no_secret_is_printed(stored, apply):
    said = apply(SHOP, "--plan") + apply(SHOP, "--plan", "--json") + apply(SHOP) + exported()

    assert PASSWORD not in said


# --- Others write at the same time ----------------------------------------------------------------


@pytest.fixture
def planned(stored, monkeypatch):
    """Return what applying a file would do, to be applied later."""

    def planned(content: str):
        return plan(content, {"ETL_SECRET_CRM_PASSWORD": PASSWORD})

    return planned


NEW_RULES = SHOP.replace("separator: ', '", "separator: ''")


@pytest.mark.parametrize(
    "interfere",
    [
        lambda api, mapping: api.patch(f"mappings/{mapping}", {"description": "mine"}),
        lambda api, mapping: api.delete(f"mappings/{mapping}/column-mappings"),
        lambda api, mapping: api.put(f"mappings/{mapping}/column-mappings", [direct("x", "name")]),
        lambda api, mapping: api.patch(
            f"mappings/{mapping}/column-mappings/"
            + api.get(f"mappings/{mapping}/column-mappings").json()[0]["id"],
            {"source_columns": ["other"]},
        ),
    ],
)
def test_a_mapping_that_changes_before_its_turn_is_left_as_it_is(shop, stored, planned, interfere):
    changes = planned(NEW_RULES)
    assert interfere(shop, shop.get("mappings").json()[0]["id"]).status < 300
    before = contents(stored)

    with pytest.raises(Interfered) as failure:
        apply_plan(changes)

    assert str(failure.value) == (
        'mapping "Crm people": The record changed since it was read; read it again and repeat the '
        "change. 0 records were written before; run the command again, it goes on from there."
    )
    assert contents(stored) == before


def test_a_rule_that_is_added_before_its_turn_is_not_lost(shop, stored, planned, apply):
    stored.column_mappings.delete_many({"type": "join"})
    changes = planned(SHOP)
    mapping = shop.get("mappings").json()[0]["id"]
    shop.create(f"mappings/{mapping}/column-mappings", direct("x", "name"))

    with pytest.raises(Interfered):
        apply_plan(changes)

    assert stored.column_mappings.count_documents({}) == 3
    assert "- join a, b" not in apply(SHOP)
    assert exported() == SHOP


def test_a_column_that_goes_before_its_turn_is_told(shop, stored, planned):
    for path in ("schedules", "mappings"):
        assert shop.delete(f"{path}/{shop.get(path).json()[0]['id']}").status == 204
    changes = planned(SHOP)
    stored.schemas.update_one({}, {"$pull": {"columns": {"name": "last"}}})

    with pytest.raises(Interfered, match="The target schema has lost last"):
        apply_plan(changes)

    assert stored.mappings.count_documents({}) == stored.column_mappings.count_documents({}) == 0


def test_a_reference_that_goes_before_its_turn_is_told_in_words(shop, stored, planned):
    for path in ("schedules", "mappings"):
        assert shop.delete(f"{path}/{shop.get(path).json()[0]['id']}").status == 204
    changes = planned(SHOP)
    stored.connections.delete_many({})

    with pytest.raises(Interfered, match=r'^mapping "Crm people": There is no connection with'):
        apply_plan(changes)


# --- Problems -------------------------------------------------------------------------------------


def test_all_problems_are_told_at_once_with_their_places_and_nothing_is_written(stored, refused):
    assert refused(
        """\
version: 3
conections: {}
connections:
  crm: {db_type: oracle, host: "http://x", port: 70000, database: d, usernme: u, password: x}
schemas:
  people:
    columns: [{name: id, data_type: integer}, {name: ID, data_type: string}]
mappings:
  broken:
    source_connection: nobody
    target_schema: people
    source_query: DELETE FROM customers
    column_mappings:
    - {type: direct, source_columns: [id], target_fields: [nothing]}
    - {type: split, source_columns: [id], target_fields: [id, id], config: {delimiter: ''}}
schedules:
  broken: {mapping: broken, cron_expression: 0 0 30 2 *, timezone: Berlin}
  empty:
"""
    ) == [
        "1:10: version: Expected 2, or 1 for a file of the older form.",
        "2:1: conections: There is no such section; there are connections, schemas, "
        "targets, mappings, schedules, notifications.",
        '4:3: connection "crm", username: This field is required.',
        '4:9: connection "crm", db_type: Expected one of mysql, postgresql.',
        '4:26: connection "crm", host: Not a host: give a name or an address, without a scheme, '
        "a port, a path or spaces.",
        '4:44: connection "crm", port: Ensure this value is less than or equal to 65535.',
        '4:70: connection "crm", usernme: A connection has no such field.',
        '4:82: connection "crm", password: Expected a reference such as '
        "${ETL_SECRET_CRM_PASSWORD}, not a secret itself.",
        '7:48: schema "people", columns.1.name: "ID" is named twice; column names differ in more '
        "than case.",
        '10:5: mapping "broken", source_connection: There is no connection "nobody".',
        '14:60: mapping "broken", column_mappings.0.target_fields.0: The target schema has no '
        'column "nothing".',
        '15:63: mapping "broken", column_mappings.1.target_fields.1: "id" is written twice.',
        '15:77: mapping "broken", column_mappings.1.config.delimiter: The delimiter has at least '
        "one character.",
        '17:29: schedule "broken", cron_expression: "0 0 30 2 *" never fires: February has no '
        "day 30.",
        '17:58: schedule "broken", timezone: "Berlin" is not an IANA time zone name, such as '
        "Europe/Berlin or UTC.",
        '18:3: schedule "empty": Expected its fields.',
    ]
    assert not any(contents(stored).values())


def test_programs_are_told_the_problems_too(stored, tmp_path):
    file, out = tmp_path / "config.yaml", io.StringIO()
    file.write_text("version: 3")
    with pytest.raises(CommandError, match="Nothing was written"):
        call_command("import_config", file, "--json", stdout=out)
    message = "Expected 2, or 1 for a file of the older form."
    problem = {"line": 1, "column": 10, "path": "version", "message": message}
    assert json.loads(out.getvalue()) == {"problems": [problem]}


def test_a_query_is_judged_by_the_connection_of_the_same_file(stored, refused):
    (problem,) = refused(SHOP.replace("SELECT id, full", "DELETE"))

    assert problem.startswith('30:5: mapping "Crm people", source_query: ')


def test_a_schema_only_grows_here_too(shop, refused):
    content = SHOP.replace("{name: id, data_type: integer}", "{name: id, data_type: string}")
    content = content.replace("    - {name: first, data_type: string}\n", "")

    assert refused(content) == [
        '19:5: schema "people", columns: Drops first. The schema "people" is in use by the '
        'mapping "Crm people".',
        '20:18: schema "people", columns.0.data_type: "id" is integer and cannot become string.',
    ]


def test_nothing_that_stays_may_refer_to_what_goes(shop, refused):
    assert refused("connections: {}\n", "--prune") == [
        '1:1: connection "crm": It would go, but the mapping "Crm people" uses it.'
    ]


def test_a_reference_to_a_record_that_would_go_is_refused(shop, refused):
    content = "mappings: {}\nschedules:\n  s: {mapping: Crm people, cron_expression: '@daily'}\n"

    assert refused(content, "--prune") == [
        '3:7: schedule "s", mapping: The mapping "Crm people" is not in the file: it would go.'
    ]


SECTIONS = (
    "Expected the sections connections, schemas, targets, mappings, schedules, notifications."
)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", f"1:1: {SECTIONS}"),
        ("[]", f"1:1: {SECTIONS}"),
        ("schemas: [a]", "1:10: schemas: Expected records by their names."),
        ("schemas: {' a': {columns: [{name: id, data_type: date}]}}",
         '1:11: schema " a": The name begins or ends with white space.'),
        ("schemas: {a: {columns: x}}", '1:15: schema "a", columns: Expected a list of items but '
         'got type "str".'),
        ("schedules: {a: {mapping: [x], cron_expression: '@daily'}}",
         '1:17: schedule "a", mapping: Expected the name of a mapping.'),
    ],
)  # fmt: skip
def test_a_file_of_another_shape_is_refused(stored, refused, content, problem):
    assert refused(content)[0] == problem


def test_a_file_that_is_not_there_is_told(stored):
    with pytest.raises(CommandError, match=r"^nothing.yaml: No such file or directory\.$"):
        call_command("import_config", "nothing.yaml")


def test_orphaned_rules_are_not_exported(stored):
    stored.column_mappings.insert_one(column_mapping_document())

    assert "direct" not in exported()
