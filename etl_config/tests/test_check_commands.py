"""check_connections and check_references: what they find, what they note, what they mend."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from common.tests.client import (
    column_mapping_document,
    connection_body,
    connection_document,
    direct,
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
        "Expired leases, which block nobody: 0.\n"
    )


def test_orphans_and_dangling_references_are_named(stored):
    orphan, lost = column_mapping_document(), mapping_document(name="lost")
    stored.column_mappings.insert_one(orphan)
    stored.mappings.insert_one(lost)

    printed, failure = failing("check_references")

    assert "Orphans, which --mend removes: 1.\n" in printed
    assert set(failure.splitlines()) == {
        "These refer to nothing:",
        f'  mapping "lost" ({lost["_id"]}): source_connection_id '
        f"{lost['source_connection_id']} is gone",
        f'  mapping "lost" ({lost["_id"]}): target_schema_id {lost["target_schema_id"]} is gone',
        f"  column mapping ({orphan['_id']}): mapping_id {orphan['mapping_id']} is gone",
    }


def test_mend_removes_orphans_and_expired_leases_alone(api, stored):
    mapping = api.create("mappings", mapping_body(api))["id"]
    api.post(f"mappings/{mapping}/column-mappings", direct())
    stored.column_mappings.insert_many([column_mapping_document() for _ in range(3)])
    now = datetime.now(UTC)
    leases = [{"holder": "x", "expires_at": now + timedelta(minutes=age)} for age in (-1, 5)]
    stored.schemas.insert_many({"name": f"s{at}", "_lease": leases[at]} for at in range(2))

    assert run("check_references", "--mend") == (
        "Orphans, which --mend removes: 3; 3 removed.\n"
        "Other references to nothing, for you to change or delete: 0.\n"
        "Expired leases, which block nobody: 1; removed.\n"
    )
    assert stored.column_mappings.count_documents({}) == 1
    assert stored.schemas.count_documents({"_lease": {"$exists": True}}) == 1


def test_what_a_person_must_decide_is_not_mended(stored):
    stored.mappings.insert_one(mapping_document())

    failing("check_references", "--mend")

    assert stored.mappings.count_documents({}) == 1


def test_references_of_other_types_lead_nowhere(stored):
    stored.column_mappings.insert_many(
        column_mapping_document(mapping_id=odd, target_fields=[str(number)])
        for number, odd in enumerate([None, "text", ["a", "list"], {"a": "document"}])
    )

    assert len(json.loads(failing("check_references", "--json")[0])["orphans"]) == 4
