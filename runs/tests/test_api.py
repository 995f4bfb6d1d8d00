"""Runs over REST while no worker lives: they are queued, found, cancelled and repeated."""

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from common.tests.client import NOBODY, made
from runs import log, rejected
from runs.tests.pipelines import pipeline

FIELDS = {
    "id", "_id", "mapping_id", "mapping_name", "schedule_id", "slot", "trigger", "retry_of",
    "status", "skip_reason", "skipped_slots", "stage", "attempt", "queued_at", "started_at",
    "ended_at", "duration_ms", "rows_read", "rows_written", "rows_rejected", "progress", "engine",
    "worker", "target", "cursor_from", "cursor_to", "full_refresh", "warnings", "error",
}  # fmt: skip
PLAN = {
    "source_query", "connection", "target", "target_table", "columns", "rules", "write_mode",
    "key_fields", "cursor_column", "max_rejected", "full_refresh", "slot_start", "slot_end",
}  # fmt: skip
START, END = "2026-01-30T00:00:00.000Z", "2026-01-31T00:00:00.000Z"


@pytest.fixture
def mapping(api):
    return pipeline(api)


@pytest.fixture
def runs(mapping):
    return f"mappings/{mapping['id']}/runs"


def ended(stored, run, status):
    moment = datetime.now(UTC)
    change = {"status": status, "ended_at": moment}
    stored["runs"].update_one({"_id": ObjectId(run["id"])}, {"$set": change})


def test_a_run_is_queued_with_its_plan(api, mapping, runs):
    answer = api.post(runs)
    run = answer.json()
    assert answer.status == 202
    assert answer.headers["location"].endswith(f"/api/v1/runs/{run['id']}")
    assert run.keys() == FIELDS | {"plan"}
    assert run["plan"].keys() == PLAN
    assert (run["status"], run["trigger"], run["attempt"]) == ("queued", "manual", 0)
    assert run["plan"]["rules"][0]["source_columns"] == ["id"]
    read = api.get(f"runs/{run['id']}")
    assert read.json() == run
    assert read.etag == answer.etag
    assert api.get(f"runs/{run['id']}", If_None_Match=read.etag).status == 304


def test_the_list_is_newest_first_without_plans(api, mapping, runs):
    made_ = [api.post(runs).json()["id"] for _ in range(3)]
    answer = api.get("runs")
    assert [run["id"] for run in answer.json()] == made_[::-1]
    assert answer.headers["x-total-count"] == "3"
    assert answer.json()[0].keys() == FIELDS
    assert len(api.get(f"runs?mapping_id={mapping['id']}&limit=2&status=queued").json()) == 2
    assert api.get(f"runs?mapping_id={NOBODY}").json() == []
    assert api.get("runs?trigger=backfill").json() == []


def test_since_is_inclusive_and_until_exclusive(api, runs):
    run = api.post(runs).json()
    assert len(api.get(f"runs?since={run['queued_at']}").json()) == 1
    assert api.get(f"runs?until={run['queued_at']}").json() == []


def test_what_waits_and_what_was_cancelled_is_counted(api, runs):
    def told(name):
        lines = api.get("/metrics").body.decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    before = told('etl_runs_total{state="cancelled"}')
    run = api.post(runs).json()
    assert told("etl_runs_queued ") == 1
    api.post(f"runs/{run['id']}/cancel")
    assert told("etl_runs_queued ") == 0
    assert told('etl_runs_total{state="cancelled"}') == before + 1


@pytest.mark.parametrize("name", ["mapping_id", "status", "trigger"])
def test_a_filter_beside_since_keeps_the_edge(api, runs, name):
    run = api.post(runs).json()
    since = f"since={run['queued_at']}"
    assert len(api.get(f"runs?{since}&{name}={run[name]}").json()) == 1


@pytest.mark.parametrize(
    "parameters",
    ["limit=1001", "limit=0", "status=asleep", "trigger=x", "since=yesterday", "mapping_id=1",
     "nonsense=1", "offset=-1"],
)  # fmt: skip
def test_nonsense_in_a_query_string_is_refused(api, stored, parameters):
    assert api.get(f"runs?{parameters}").status == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"full_refresh": "yes"}, "full_refresh"),
        ({"full_refresh": None}, "full_refresh"),
        ({"full_refresh": 1}, "full_refresh"),
        ({"fullrefresh": True}, "fullrefresh"),
        ({"slot_start": START}, "slot_end"),
        ({"slot_end": END}, "slot_end"),
        ({"slot_start": END, "slot_end": START}, "slot_end"),
        ({"slot_start": START, "slot_end": START}, "slot_end"),
        ({"slot_start": "soon", "slot_end": END}, "slot_start"),
        ({"slot_start": [], "slot_end": END}, "slot_start"),
        ([], ""),
        ("run", ""),
    ],
)
def test_hostile_bodies_start_nothing(api, runs, body, field):
    answer = api.post(runs, body)
    assert (answer.status, list(answer.errors)) == (400, [field])
    assert api.get("runs").json() == []


def test_a_window_is_told_in_the_plan(api, runs):
    run = api.post(runs, {"slot_start": START, "slot_end": END, "full_refresh": True}).json()
    assert (run["plan"]["slot_start"], run["plan"]["slot_end"]) == (START, END)
    assert run["full_refresh"]
    assert run["plan"]["full_refresh"]


def test_a_hundred_may_wait(api, runs, mapping, stored):
    run = api.post(runs).json()
    document = stored["runs"].find_one({"_id": ObjectId(run["id"])})
    stored["runs"].insert_many([{**document, "_id": ObjectId()} for _ in range(99)])
    answer = api.post(runs)
    assert (answer.status, answer.code) == (429, "queue_full")
    assert api.post(f"runs/{run['id']}/cancel").status == 202
    assert api.post(runs).status == 202


def test_unknown_mappings_and_runs_are_404(api, stored):
    assert api.post(f"mappings/{NOBODY}/runs").status == 404
    for path in ("", "/log", "/rejected"):
        assert api.get(f"runs/{NOBODY}{path}").status == 404
    for path in ("cancel", "retry"):
        assert api.post(f"runs/{NOBODY}/{path}").status == 404


# --- Idempotency ----------------------------------------------------------------------------------


def test_a_key_stands_for_one_run(api, runs):
    first = api.post(runs, Idempotency_Key="k").json()
    api.post(f"runs/{first['id']}/cancel")
    again = api.post(runs, {}, Idempotency_Key="k")
    assert (again.status, again.json()["id"]) == (202, first["id"])
    assert again.json()["status"] == "cancelled"
    other = api.post(runs, {"full_refresh": True}, Idempotency_Key="k")
    assert (other.status, other.code) == (409, "idempotency_conflict")
    assert api.post(runs, Idempotency_Key="K").json()["id"] != first["id"]


def test_a_key_lives_a_day_and_belongs_to_its_mapping(api, runs, stored):
    first = api.post(runs, Idempotency_Key="k").json()
    other = pipeline(api)
    assert api.post(f"mappings/{other['id']}/runs", Idempotency_Key="k").json()["id"] != first["id"]
    day_ago = datetime.now(UTC) - timedelta(hours=25)
    stored["run_keys"].update_many({}, {"$set": {"at": day_ago}})
    assert api.post(runs, Idempotency_Key="k").json()["id"] != first["id"]


@pytest.mark.parametrize("key", ["", "é", "a\tb", "x" * 256])
def test_keys_are_printable(api, runs, key):
    assert api.post(runs, Idempotency_Key=key).status == 400


# --- Cancel and retry -----------------------------------------------------------------------------


def test_what_never_started_is_cancelled_at_once(api, runs):
    run = api.post(runs).json()
    for _ in range(2):
        answer = api.post(f"runs/{run['id']}/cancel")
        assert (answer.status, answer.json()["status"]) == (202, "cancelled")
    assert answer.json()["ended_at"]
    assert answer.json()["duration_ms"] is None


@pytest.mark.parametrize("status", ["succeeded", "failed", "skipped"])
def test_what_has_ended_is_not_cancelled(api, runs, stored, status):
    run = api.post(runs).json()
    ended(stored, run, status)
    answer = api.post(f"runs/{run['id']}/cancel")
    assert (answer.status, answer.code) == (409, "run_ended")


def test_a_retry_is_a_new_run(api, runs, mapping):
    old = api.post(runs, {"slot_start": START, "slot_end": END, "full_refresh": True}).json()
    assert api.post(f"runs/{old['id']}/retry").code == "run_active"
    old = api.post(f"runs/{old['id']}/cancel").json()
    api.patch(f"mappings/{mapping['id']}", {"source_query": "SELECT 7 AS id"})
    answer = api.post(f"runs/{old['id']}/retry", Idempotency_Key="r")
    new = answer.json()
    assert (answer.status, new["trigger"], new["retry_of"]) == (202, "retry", old["id"])
    assert new["full_refresh"]
    assert new["plan"]["source_query"] == "SELECT 7 AS id"
    assert new["plan"]["slot_start"] == START
    assert api.get(f"runs/{old['id']}").json() == old
    assert api.post(f"runs/{old['id']}/retry", Idempotency_Key="r").json()["id"] == new["id"]


def test_a_retry_is_refused(api, runs, mapping, stored):
    run = api.post(runs).json()
    ended(stored, run, "succeeded")
    assert api.post(f"runs/{run['id']}/retry").code == "run_succeeded"
    ended(stored, run, "failed")
    assert api.delete(f"mappings/{mapping['id']}").status == 204
    answer = api.post(f"runs/{run['id']}/retry")
    assert (answer.status, answer.code) == (409, "mapping_gone")
    assert api.get(f"runs/{run['id']}").status == 200


@pytest.mark.parametrize("path", ["cancel", "retry"])
def test_they_take_no_body(api, runs, path):
    run = api.post(runs).json()
    assert api.post(f"runs/{run['id']}/{path}", {"force": True}).status == 400


# --- In use ---------------------------------------------------------------------------------------


def test_a_run_keeps_its_mapping_and_its_connection(api, mapping, runs):
    run = api.post(runs).json()
    answer = api.delete(f"mappings/{mapping['id']}")
    assert (answer.status, answer.code) == (409, "in_use")
    assert run["id"] in answer.detail
    other = made(api, "connections")
    api.patch(f"mappings/{mapping['id']}", {"source_connection_id": other["id"]})
    connection = f"connections/{mapping['source_connection_id']}"
    assert api.delete(connection).code == "in_use"
    api.post(f"runs/{run['id']}/cancel")
    assert api.delete(connection).status == 204
    assert api.delete(f"mappings/{mapping['id']}").status == 204


# --- Log, rejected rows, audit --------------------------------------------------------------------


def test_rejected_rows_come_by_row_in_pages(api, runs, stored):
    run = api.post(runs).json()
    entries = [
        {"row": row, "rule_id": None, "source_columns": ["id"], "target_field": "id",
         "value": "x", "code": "not_a_number", "message": "no"}
        for row in range(1200, 0, -1)
    ]  # fmt: skip
    kept = rejected.keep(ObjectId(run["id"]), entries)
    stored["runs"].update_one({"_id": ObjectId(run["id"])}, {"$set": {"rejected_kept": kept}})
    answer = api.get(f"runs/{run['id']}/rejected")
    assert [entry["row"] for entry in answer.json()] == list(range(1, 101))
    assert answer.headers["x-total-count"] == "1200"
    page = api.get(f"runs/{run['id']}/rejected?limit=1000&offset=450")
    assert [entry["row"] for entry in page.json()] == list(range(451, 1201))
    assert api.get(f"runs/{run['id']}/rejected?offset=5000").json() == []
    assert api.get(f"runs/{run['id']}/rejected?limit=1001").status == 400


def test_people_leave_entries_in_the_audit(api, runs, stored):
    run = api.post(runs).json()
    api.post(f"runs/{run['id']}/cancel")
    api.post(f"runs/{run['id']}/cancel")
    api.post(f"runs/{run['id']}/retry")
    found = stored["audit"].find({"kind": "runs"}).sort("at")
    assert [entry["action"] for entry in found] == ["create", "update", "create"]


def test_a_log_is_empty_at_first(api, runs):
    run = api.post(runs).json()
    answer = api.get(f"runs/{run['id']}/log?limit=10")
    assert (answer.status, answer.json(), answer.headers["x-total-count"]) == (200, [], "0")


def test_a_log_keeps_its_newest_lines(api, runs, monkeypatch):
    monkeypatch.setattr(log, "MOST_LINES", 3)
    monkeypatch.setattr(log, "SLACK", 2)
    run = api.post(runs).json()["id"]
    lines = log.RunLog(ObjectId(run), 1)
    for number in range(9):
        lines.say("plan", f"line {number}")
        lines.flush()
    kept = [line["message"] for line in api.get(f"runs/{run}/log").json()]
    assert kept == [f"line {number}" for number in range(9 - len(kept), 9)]
    assert 3 <= len(kept) <= 5
