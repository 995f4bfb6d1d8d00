"""check_connections and check_references: what they find, what they note, what they mend."""

import io
import json

import pytest
from bson import ObjectId
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management import CommandError, call_command

from common.documents import references
from common.tests.client import (
    column_mapping_document,
    connection_body,
    connection_document,
    direct,
    document,
    mapping_body,
    mapping_document,
)
from connections import checkup
from sources.probe import ProbeResult


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def failing(*arguments: str) -> tuple[str, str]:
    out = io.StringIO()
    with pytest.raises(CommandError) as failure:
        call_command(*arguments, stdout=out, stderr=io.StringIO())
    assert failure.value.returncode == 1
    return out.getvalue(), str(failure.value)


# --- check_connections ----------------------------------------------------------------------------

ANSWER = {"db_type": "postgresql", "server": "PostgreSQL", "version": "15.18", "latency_ms": 2.5,
          "tls": False}  # fmt: skip
SILENCE = {"db_type": "postgresql", "error_code": "timeout", "hint": "", "stage": "port"}


@pytest.fixture(autouse=True)
def sources(monkeypatch):
    """Sources that answer, but for those on the host `silent`."""

    def probe(params, timeout_s):
        if params.host == "silent":
            return ProbeResult(False, "silent:5432 did not answer.", SILENCE)
        return ProbeResult(True, "Connection successful", ANSWER)

    monkeypatch.setattr(checkup, "probe", probe)


def test_each_connection_has_a_line_and_its_result_is_noted(api, stored):
    for name, host in (("b", "db1"), ("a", "silent"), ("long name", "db2")):
        api.create("connections", connection_body(name=name, host=host))

    printed, failure = failing("check_connections")

    assert printed == (
        "a          failed  timeout: silent:5432 did not answer.\n"
        "b          ok      PostgreSQL 15.18, 2.5 ms\n"
        "long name  ok      PostgreSQL 15.18, 2.5 ms\n"
        "2 of 3 connections answered.\n"
    )
    assert failure == 'These connections failed:\n  "a": silent:5432 did not answer.'
    noted = {found["name"]: found["last_test_status"] for found in stored.connections.find()}
    assert noted == {"a": "failed", "b": "success", "long name": "success"}


def test_only_the_chosen_ones_are_tested(api, stored):
    for name in ("a", "b"):
        api.create("connections", connection_body(name=name))

    assert run("check_connections", "b").endswith("1 of 1 connections answered.\n")
    assert stored.connections.find_one({"name": "a"})["last_test_status"] is None


def test_every_unknown_name_is_told_and_nothing_tested(api, stored):
    api.create("connections", connection_body(name="a"))

    assert failing("check_connections", "x", "a", "y")[1] == (
        "There is no connection of this name:\n  x\n  y"
    )
    assert stored.connections.find_one()["last_test_status"] is None


def test_results_can_be_read_by_programs(api, stored):
    identifier = api.create("connections", connection_body(name="a"))["id"]

    assert json.loads(run("check_connections", "--json")) == [
        {
            "name": "a",
            "id": identifier,
            "success": True,
            "message": "Connection successful",
            "details": ANSWER,
        }
    ]


def test_a_password_that_no_key_opens_fails_alone(api, stored):
    stored.connections.insert_one(connection_document(name="lost", password="gAAAA"))
    api.create("connections", connection_body(name="well"))

    printed, _ = failing("check_connections")

    assert printed.startswith("lost  failed  not_tested: No configured encryption key opens")
    assert printed.endswith("1 of 2 connections answered.\n")


NASTY = "\x1b[2J\r\n0 \u202eko\x9b"
SPELLED = r"\u001b[2J\u000d\u000a0 \u202eko\u009b"


def test_nothing_that_others_stored_or_answered_moves_the_cursor(stored, monkeypatch):
    stored.connections.insert_many(
        connection_document(
            name=name, password=Fernet(settings.ENCRYPTION_KEY).encrypt(b"x").decode()
        )
        for name in (NASTY, "b")
    )
    refusal = {"db_type": "mysql", "error_code": "unknown", "hint": "", "stage": "login"}
    result = ProbeResult(False, f"It said {NASTY}", refusal)
    monkeypatch.setattr(checkup, "probe", lambda params, timeout_s: result)

    printed, failure = failing("check_connections")

    assert printed == (
        f"{SPELLED}  failed  unknown: It said {SPELLED}\n"
        f"{'b':<{len(SPELLED)}}  failed  unknown: It said {SPELLED}\n"
        "0 of 2 connections answered.\n"
    )
    assert f'"{SPELLED}": It said {SPELLED}' in failure
    assert failing("check_connections", NASTY + "x")[1].endswith(f"  {SPELLED}x")
    by_program = json.loads(failing("check_connections", "--json")[0])
    assert by_program[0]["name"] == NASTY
    assert by_program[0]["message"] == f"It said {NASTY}"


def test_no_connections_are_no_failure(stored):
    assert run("check_connections") == "0 of 0 connections answered.\n"


@pytest.mark.parametrize("option", [["--parallel", "0"], ["--timeout", "0"], ["--timeout", "x"]])
def test_options_that_make_no_sense_are_refused(stored, option):
    with pytest.raises(CommandError, match="expected"):
        run("check_connections", *option)


# --- check_references -----------------------------------------------------------------------------


def test_a_store_without_damage_has_nothing_to_mend(api, stored):
    mapping = api.create("mappings", mapping_body(api))["id"]
    api.post(f"mappings/{mapping}/column-mappings", direct())

    assert run("check_references") == (
        "Orphans, which --mend removes: 0.\n"
        "Other references to nothing, for you to change or delete: 0.\n"
    )


def test_orphans_and_dangling_references_are_named(stored):
    orphan, lost = column_mapping_document(), mapping_document(name="lost\x1b[2J")
    stored.column_mappings.insert_one(orphan)
    stored.mappings.insert_one(lost)

    printed, failure = failing("check_references")

    assert "Orphans, which --mend removes: 1.\n" in printed
    this = rf'mapping "lost\u001b[2J" ({lost["_id"]})'
    assert set(failure.splitlines()) == {
        "These refer to nothing:",
        f"  {this}: source_connection_id {lost['source_connection_id']} is gone",
        f"  {this}: target_schema_id {lost['target_schema_id']} is gone",
        f"  column mapping ({orphan['_id']}): mapping_id {orphan['mapping_id']} is gone",
    }


def test_mend_removes_orphans_alone(api, stored):
    mapping = api.create("mappings", mapping_body(api))["id"]
    api.post(f"mappings/{mapping}/column-mappings", direct())
    stored.column_mappings.insert_many([column_mapping_document() for _ in range(2)])
    stored.column_mappings.insert_one(column_mapping_document(mapping_id=str(ObjectId()).upper()))

    assert run("check_references", "--mend") == (
        "Orphans, which --mend removes: 3; 3 removed.\n"
        "Other references to nothing, for you to change or delete: 0.\n"
    )
    assert stored.column_mappings.count_documents({}) == 1


def test_a_reference_in_text_leads_where_it_says(stored):
    mapping = document(stored, "mappings")
    for name in ("source_connection_id", "target_schema_id"):
        stored.mappings.update_one({}, {"$set": {name: str(mapping[name]).upper()}})
    for number, spelled in enumerate([str(mapping["_id"]), str(mapping["_id"]).upper()]):
        document(stored, "column_mappings", mapping_id=spelled, target_fields=[str(number)])

    assert run("check_references", "--mend").startswith("Orphans, which --mend removes: 0; 0 r")
    assert stored.column_mappings.count_documents({}) == 2


def test_what_a_person_must_decide_is_not_mended(stored):
    stored.mappings.insert_one(mapping_document())

    failing("check_references", "--mend")

    assert stored.mappings.count_documents({}) == 1


ODD = [None, "text", ["a", "list"], {"a": "document"}, 5, [ObjectId()], "0" * 23, b"0" * 12]


def test_documents_of_another_shape_are_named_and_left(stored):
    stored.column_mappings.insert_many(
        column_mapping_document(mapping_id=odd, target_fields=[str(number)])
        for number, odd in enumerate(ODD)
    )
    bare = {"_id": {"another": "id"}, "note": "of another program"}
    stored.column_mappings.insert_one(bare)
    before = list(stored.column_mappings.find())

    printed, failure = failing("check_references", "--mend", "--json")

    found = json.loads(printed)
    assert (len(found["orphans"]), len(found["dangling"]), found["removed"]) == (0, 9, 0)
    assert "mapping_id text is no id" in failure
    assert failure.count("mapping_id is not there") == 2
    assert list(stored.column_mappings.find()) == before


def test_an_orphan_whose_mapping_comes_back_stays(stored):
    orphan = column_mapping_document()
    stored.column_mappings.insert_one(orphan)
    (found,) = references.dangling(lambda count: None)
    stored.mappings.insert_one(mapping_document(_id=orphan["mapping_id"]))

    assert references.remove(found) is False
    assert stored.column_mappings.count_documents({}) == 1
