"""Runs in the admin."""

import pytest
from bson import ObjectId

from runs import log, rejected
from runs.tests.pipelines import pipeline


@pytest.fixture
def run(api):
    mapping = pipeline(api)
    return api.post(f"mappings/{mapping['id']}/runs").json()


def test_the_list_and_the_page_of_a_run_open(operator, api, run, stored):
    identifier = ObjectId(run["id"])
    entry = {
        "row": 3, "rule_id": None, "source_columns": ["id"], "target_field": "id",
        "value": "<b>three</b>", "code": "not_a_number", "message": "no number",
    }  # fmt: skip
    kept = rejected.keep(identifier, [entry])
    stored["runs"].update_one({"_id": identifier}, {"$set": {"rejected_kept": kept}})
    log.RunLog(identifier, 1).say("plan", "It begins.")
    listed = operator.html("runs_run_changelist")
    assert run["mapping_name"] in listed
    page = operator.html("runs_run_change", run["id"])
    assert "0 read, 0 written" in page
    for text in (
        "UTC, by hand",
        "It begins.",
        "&lt;b&gt;three&lt;/b&gt;",
        "SELECT 1 AS id",
        "Cancel",
        "data-poll",
    ):
        assert text in page
    assert "data-live" in operator.html("runs_run_now", run["id"])
    assert operator.get("runs_run_change", "nonsense").status_code == 404


def test_a_run_is_started_cancelled_and_repeated(operator, api, run):
    mapping = run["mapping_id"]
    page = operator.html("mappings_mapping_change", mapping)
    assert "Run now" in page
    started = operator.post("runs_run_start", mapping).content.decode()
    assert "Watch the run" in started
    operator.post("runs_run_cancel", run["id"])
    assert api.get(f"runs/{run['id']}").json()["status"] == "cancelled"
    operator.post("runs_run_retry", run["id"])
    assert [one["trigger"] for one in api.get("runs").json()] == ["retry", "manual", "manual"]
