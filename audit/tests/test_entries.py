"""Every door of every write: one entry each, and none for what changes nothing."""

import getpass
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management import call_command

from audit.entries import canonical
from common.documents import store
from common.tests.client import (
    PASSWORD,
    column,
    connection_body,
    direct,
    document,
    join,
    made,
    schedule_body,
    schema_body,
)
from connections.models import Connection
from mappings.copying import copy_mapping
from mappings.models import Mapping


def audit(api, **filters):
    answer = api.get("audit?" + "&".join(f"{name}={value}" for name, value in filters.items()))
    assert answer.status == 200, answer.body
    return answer.json()


def of(api, record):
    return audit(api, record_id=record["id"])


def test_a_create_is_told_with_who_and_from_where(api):
    answer = api.post("schemas", schema_body("id", name="customers"), X_Request_ID="request-7")
    record = answer.json()
    (entry,) = audit(api)
    assert entry == {
        "id": entry["id"],
        "_id": entry["id"],
        "at": entry["at"],
        "actor": "open",
        "via": "api",
        "address": "127.0.0.1",
        "request_id": "request-7",
        "action": "create",
        "kind": "schemas",
        "record_id": record["id"],
        "name": "customers",
        "changes": {"name": [None, "customers"], "columns": [None, [column("id")]]},
        "seq": None,
        "previous_hash": None,
        "hash": None,
    }
    assert entry["at"] >= record["created_at"]


@pytest.mark.parametrize("kind", ["connections", "schemas", "mappings", "schedules"])
def test_an_update_and_a_delete_of_each_kind(api, kind):
    record = made(api, kind)
    assert api.patch(f"{kind}/{record['id']}", {"name": "another"}).status == 200
    assert api.put(f"{kind}/{record['id']}", {"name": "another"}).status == 200
    assert api.delete(f"{kind}/{record['id']}").status == 204

    deleted, updated, created = of(api, record)
    assert [one["action"] for one in (created, updated, deleted)] == ["create", "update", "delete"]
    assert updated["changes"] == {"name": [record["name"], "another"]}
    assert deleted["name"] == "another"
    assert {one["kind"] for one in (created, updated, deleted)} == {kind}
    shown = {
        name: value
        for name, value in record.items()
        if value is not None
        and name not in ("id", "_id", "created_at", "updated_at", "next_run_at", "verification")
    }
    secret = {"password": "changed"} if kind == "connections" else {}
    assert created["changes"] == {name: [None, value] for name, value in shown.items()} | secret
    gone = {name: [value, None] for name, value in (shown | {"name": "another"}).items()}
    assert deleted["changes"] == gone | secret


def test_what_is_refused_or_stale_is_not_told(api):
    record = made(api, "connections")
    api.post("connections", connection_body(name=record["name"]))
    api.patch(f"connections/{record['id']}", {"port": 0})
    api.patch(f"connections/{record['id']}", {"database": "b"}, If_Match='"old"')
    api.delete("schemas/00000000000000000000abcd")
    assert len(audit(api)) == 1


def test_a_secret_is_changed_and_no_more(api, stored):
    record = made(api, "connections")
    api.patch(f"connections/{record['id']}", {"password": "another-secret"})
    assert of(api, record)[0]["changes"] == {"password": "changed"}
    kept = str(list(stored.audit.find()))
    token = stored.connections.find_one({})["password"]
    assert not [one for one in (PASSWORD, "another-secret", token) if one in kept]


def test_a_set_of_rules_is_one_entry(api):
    mapping = made(api, "mappings")
    path = f"mappings/{mapping['id']}/column-mappings"
    first = api.post(path, [direct(), join("a", "b")]).json()
    both = api.put(path, [direct("x"), join("a", "c")]).json()
    api.delete(path)
    api.delete(path)
    api.put(path, [])
    entries = audit(api, kind="column_mappings")
    assert [one["changes"] for one in entries] == [
        {"rules": [both, []]},
        {"rules": [first, both]},
        {"rules": [[], first]},
    ]
    assert {(one["action"], one["record_id"], one["name"]) for one in entries} == {
        ("update", mapping["id"], mapping["name"])
    }


def test_a_rule_sent_alone_is_an_entry_of_its_own(api):
    mapping = made(api, "mappings")
    path = f"mappings/{mapping['id']}/column-mappings"
    rule = api.post(path, direct()).json()
    api.patch(f"{path}/{rule['id']}", {"source_columns": ["other"]})
    api.delete(f"{path}/{rule['id']}")
    entries = of(api, rule)
    assert [one["action"] for one in entries] == ["delete", "update", "create"]
    assert entries[1]["changes"] == {"source_columns": [["id"], ["other"]]}
    assert entries[2]["name"] == "direct id → id"
    assert {one["kind"] for one in entries} == {"column_mappings"}


def test_a_mapping_is_deleted_with_its_rules_in_one_entry(api):
    mapping = made(api, "mappings")
    rules = api.put(f"mappings/{mapping['id']}/column-mappings", [direct()]).json()
    api.delete(f"mappings/{mapping['id']}")
    newest = audit(api)[0]
    assert (newest["action"], newest["kind"]) == ("delete", "mappings")
    assert newest["changes"]["rules"] == [rules, None]


def test_a_value_over_8_kib_is_told_by_length_and_digest(api):
    mapping = made(api, "mappings")
    query = "SELECT 'ä' AS " + "x" * 9000
    api.patch(f"mappings/{mapping['id']}", {"source_query": query})
    content = query.encode()
    assert of(api, mapping)[0]["changes"]["source_query"] == [
        mapping["source_query"],
        {"length": len(content), "sha256": hashlib.sha256(content).hexdigest()},
    ]
    columns = [column(f"column {number}") for number in range(400)]
    schema = api.create("schemas", schema_body() | {"columns": columns})
    content = json.dumps(columns, sort_keys=True, separators=(",", ":")).encode()
    assert content == canonical(columns)
    assert of(api, schema)[0]["changes"]["columns"] == [
        None,
        {"length": len(content), "sha256": hashlib.sha256(content).hexdigest()},
    ]


def test_what_the_service_notes_itself_is_no_entry(api, stored):
    record = made(api, "connections")
    connection = Connection.from_document(stored.connections.find_one({}))
    connection.record_test("down", "unreachable")
    assert len(of(api, record)) == 1
    schedule = made(api, "schedules")
    api.patch(f"schedules/{schedule['id']}", {"enabled": False})
    assert of(api, schedule)[0]["changes"] == {"enabled": [True, False]}


# --- The other doors ------------------------------------------------------------------------------


def test_the_admin_is_told_by_the_persons_name(api, operator):
    assert operator.save("schemas_schema_add", name="by hand") != {"name": []}
    record = made(api, "schemas")
    assert operator.save("schemas_schema_change", record["id"], description="new") == {}
    entry = of(api, record)[0]
    assert (entry["actor"], entry["via"]) == ("operator", "admin")
    assert entry["changes"] == {"description": [None, "new"]}


def test_actions_on_many_are_an_entry_of_each(api, operator):
    mapping = made(api, "mappings")
    schedules = [
        api.create("schedules", schedule_body(api, mapping_id=mapping["id"])) for _ in range(3)
    ]
    ids = [one["id"] for one in schedules]
    operator.act("schedules_schedule_changelist", "disable", ids)
    entries = audit(api, kind="schedules", action="update")
    assert {one["record_id"] for one in entries} == set(ids)
    assert {str(one["changes"]) for one in entries} == {"{'enabled': [True, False]}"}
    operator.act("schedules_schedule_changelist", "delete_selected", ids, post="yes")
    assert len(audit(api, kind="schedules", action="delete", actor="operator")) == 3


def test_a_file_is_told_by_the_commands_account(api, stored, tmp_path):
    mapping = made(api, "mappings")
    api.put(f"mappings/{mapping['id']}/column-mappings", [direct()])
    before = len(audit(api))
    file = tmp_path / "config.yaml"
    call_command("export_config", output=file)
    file.write_text(re.sub(r"(source_columns: *\[?\s*-? *)id", r"\1name", file.read_text()))
    call_command("import_config", str(file))
    rules = api.get(f"mappings/{mapping['id']}/column-mappings").json()
    entries = audit(api)
    told = [one for one in entries if one["via"] == "command"]
    assert {one["actor"] for one in told} == {f"command:{getpass.getuser()}"}
    (of_rules,) = [one for one in told if one["kind"] == "column_mappings"]
    assert of_rules["changes"]["rules"][1] == rules
    assert len(entries) == before + len(told) <= before + 3
    call_command("import_config", str(file))
    assert len(audit(api)) == len(entries)


def test_the_shell_and_commands_of_django_are_told_by_their_account(api, stored):
    record = made(api, "schemas")
    code = (
        "from schemas.models import Schema; one = Schema.objects.get(); one.name = 'n'; one.save()"
    )
    subprocess.run(
        [sys.executable, Path(settings.BASE_DIR) / "manage.py", "shell", "-c", code],
        env={**os.environ, "MONGODB_DB_NAME": store.mongodb.settings_dict["NAME"]},
        check=True,
    )
    (entry,) = audit(api, record_id=record["id"], action="update")
    assert entry["changes"] == {"name": [record["name"], "n"]}
    assert (entry["via"], entry["actor"]) == ("command", f"command:{getpass.getuser()}")


def test_a_copy_is_a_mapping_and_its_set(api, stored):
    mapping = made(api, "mappings")
    api.put(f"mappings/{mapping['id']}/column-mappings", [direct()])
    copied = copy_mapping(Mapping.from_document(stored.mappings.find_one({})))
    entries = audit(api, record_id=str(copied.pk))
    assert [(one["action"], one["kind"]) for one in entries] == [
        ("update", "column_mappings"),
        ("create", "mappings"),
    ]


def test_an_orphan_that_is_removed_is_told(api, stored):
    rule = document(stored, "column_mappings")
    stored.mappings.delete_one({"_id": rule["mapping_id"]})
    call_command("check_references", mend=True)
    (entry,) = audit(api)
    assert (entry["action"], entry["record_id"]) == ("delete", str(rule["_id"]))


def test_the_demo_and_its_end_are_told(api):
    call_command("seed_demo")
    assert len(audit(api, action="create")) == 9
    call_command("seed_demo")
    assert len(audit(api)) == 12  # and the rules of each mapping
    call_command("seed_demo", reset=True)
    assert len(audit(api, action="delete")) == 9


def test_a_write_and_its_entry_are_one(api, stored, monkeypatch):
    def lost(entries):
        raise RuntimeError

    from common.documents import trail

    monkeypatch.setattr(trail, "_keepers", [lost])
    assert api.post("schemas", schema_body()).status == 500
    assert stored.schemas.count_documents({}) == stored.audit.count_documents({}) == 0


def test_a_stand_alone_server_has_the_entries_of_what_was_written(api, stored, monkeypatch):
    monkeypatch.setattr(store.mongodb.features, "_supports_transactions", False)
    mapping = made(api, "mappings")
    api.put(f"mappings/{mapping['id']}/column-mappings", [direct()])
    api.delete(f"mappings/{mapping['id']}")
    assert [one["action"] for one in audit(api)] == ["delete", "update", *3 * ["create"]]


# --- Reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    ["since=now", "until=2026-13-01", "record_id=x", "action=read", "kind=No", "actor=", "foo=1"],
)
def test_nonsense_is_refused(api, query):
    assert api.get(f"audit?{query}").status == 400


def test_it_is_filtered_and_paged_newest_first(api):
    for number in range(103):
        api.create("schemas", schema_body(name=f"schema no {number}"))
    newest = api.get("audit")
    page = newest.json()
    assert (len(page), newest.headers["x-total-count"]) == (100, "103")
    assert [one["at"] for one in page] == sorted((one["at"] for one in page), reverse=True)
    third = page[2]
    assert len(audit(api, since=third["at"], limit=1000)) >= 3
    for name in ("actor", "action", "kind", "record_id"):
        kept = audit(api, since=third["at"], limit=1000, **{name: third[name]})
        assert third["id"] in [one["id"] for one in kept]
    assert third["id"] not in [one["id"] for one in audit(api, until=third["at"])]
    assert len(audit(api, actor="open", kind="schemas", action="create", limit=1000)) == 103
    assert audit(api, kind="mappings") == audit(api, actor="nobody") == []
    assert api.post("audit", {}).status == api.delete("audit").status == 405


def test_a_records_history_in_the_admin_shows_before_and_after(api, operator):
    record = made(api, "connections", database="was-here")
    api.patch(f"connections/{record['id']}", {"database": "is-here", "password": "n3w-secret"})
    page = operator.html("connections_connection_history", record["id"])
    assert "<pre>was-here</pre>" in page
    assert "<pre>is-here</pre>" in page
    assert "n3w-secret" not in page


def test_a_rotation_of_keys_is_one_entry(api, settings):
    made(api, "connections")
    made(api, "connections")
    settings.ENCRYPTION_KEYS_RETIRED = [settings.ENCRYPTION_KEY]
    settings.ENCRYPTION_KEY = Fernet.generate_key().decode()
    call_command("rotate_encryption_key")
    call_command("rotate_encryption_key")
    (entry,) = audit(api, kind="secrets")
    assert (entry["record_id"], entry["changes"]) == (None, {"secrets": "changed"})
    assert entry["via"] == "command"
