"""Runs are told to an OpenLineage receiver, and never wait for it."""

import logging
from uuid import UUID

import pytest
from django.core.checks import run_checks

from common.tests.client import column, direct, schema_body
from mappings.tests.conftest import connection_to
from notifications import emitting
from notifications.emitting import Emitter
from notifications.tests.conftest import end, mapping_of
from runs.tests.pipelines import broken
from runs.tests.workers import ended, started, until, worker
from sources.tests.conftest import postgres

__all__ = ["postgres"]


@pytest.fixture
def orders(api, postgres):
    """Return a mapping that reads two columns of a table into two fields."""
    postgres.run("DROP TABLE IF EXISTS events_orders")
    postgres.run("CREATE TABLE events_orders (id int, price int, note text)")
    postgres.run("INSERT INTO events_orders VALUES (1, 10), (2, 20)")
    body = schema_body(name="Bills", columns=[column("id", "integer"), column("sum", "float")])
    mapping = api.create(
        "mappings",
        {
            "name": "orders to bills",
            "source_connection_id": connection_to(api, postgres.reader),
            "source_query": "SELECT id, price * 2 AS twice FROM events_orders WHERE note IS NULL",
            "target_schema_id": api.create("schemas", body)["id"],
        },
    )
    rules = [direct("id", "id"), direct("twice", "sum")]
    api.create(f"mappings/{mapping['id']}/column-mappings", rules)
    return mapping


def test_a_worker_tells_that_runs_begin_succeed_and_fail(
    api, stored, orders, postgres, receiver, tmp_path
):
    wrong = broken(api, stored)
    environment = {"OPENLINEAGE_URL": receiver.url.partition("/hooks")[0]}
    with worker(tmp_path, OPENLINEAGE_API_KEY="k3y", **environment):
        run = ended(api, started(api, orders))
        ended(api, started(api, wrong))
        until(lambda: len(receiver.messages) == 4, "not all was told")
    assert run["status"] == "succeeded", run
    assert set(receiver.paths) == {"/api/v1/lineage"}
    assert receiver.headers[0]["Authorization"] == "Bearer k3y"
    began, succeeded, other, failed = receiver.messages
    told = [one["eventType"] for one in receiver.messages]
    assert told == ["START", "COMPLETE", "START", "FAIL"]
    assert began["run"]["runId"] == succeeded["run"]["runId"] != other["run"]["runId"]
    assert UUID(began["run"]["runId"]).version == 7
    assert (began["eventTime"], succeeded["eventTime"]) == (run["started_at"], run["ended_at"])
    job = {"namespace": "etl-engine", "name": "orders to bills"}
    assert {name: succeeded["job"][name] for name in job} == job
    assert "FROM events_orders" in succeeded["job"]["facets"]["sql"]["query"]
    source = postgres.reader
    table = {
        "namespace": f"postgres://{source.host}:{source.port}",
        "name": f"{source.database}.public.events_orders",
    }
    assert began["inputs"] == succeeded["inputs"]
    assert [{name: one[name] for name in table} for one in succeeded["inputs"]] == [table]
    (output,) = succeeded["outputs"]
    assert (output["namespace"], output["name"]) == ("file", f"{tmp_path.resolve()}/lake/Bills")
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 2
    assert output["facets"]["version"]["datasetVersion"] == str(run["target"]["version"])
    fields = output["facets"]["columnLineage"]["fields"]
    (one,) = fields["sum"]["inputFields"]
    assert {name: one[name] for name in table} == table
    assert one["field"] == "price"
    assert one["transformations"][0]["subtype"] == "TRANSFORMATION"
    reason = failed["run"]["facets"]["errorMessage"]["message"]
    assert "nowhere_at_all" in reason
    assert "query_refused" in reason


def test_a_receiver_that_refuses_loses_an_event_and_holds_nothing_up(
    api, settings, receiver, caplog, monkeypatch
):
    settings.OPENLINEAGE_URL = receiver.url.partition("/hooks")[0]
    receiver.status = 500
    monkeypatch.setattr(emitting, "TRIES_AFTER_S", (0.0, 0.0))
    monkeypatch.setattr(emitting, "emitter", Emitter())
    run = end(mapping_of(api), "succeeded")
    with caplog.at_level(logging.WARNING, "runs"):
        until(lambda: "was lost" in caplog.text, "nothing is said of a lost event")
    assert len(receiver.messages) == 2
    assert receiver.messages[0]["eventType"] == "COMPLETE"
    host = f"http://127.0.0.1:{receiver.port}"
    assert said(caplog) == [
        f"The OpenLineage event of the run {run} (succeeded) was lost: "
        f"{host}: The receiver answered 500."
    ]


def test_an_event_that_finds_the_queue_full_is_lost_and_said(api, settings, caplog, monkeypatch):
    settings.OPENLINEAGE_URL = "http://127.0.0.1:1"
    monkeypatch.setattr(emitting, "MOST_WAITING", 1)
    full = Emitter()
    full._thread = object()  # nobody empties it
    monkeypatch.setattr(emitting, "emitter", full)
    first = mapping_of(api)
    end(first, "succeeded")
    run = end(first, "failed")
    assert said(caplog) == [
        f"The OpenLineage event of the run {run} (failed) was lost: 1 others wait"
    ]
    full.finish(0)
    assert said(caplog)[1:] == ["1 OpenLineage events were lost: the process ends."]


def said(caplog):
    return [one.getMessage() for one in caplog.records if one.name == "runs"]


def test_nothing_is_told_without_an_address(api, monkeypatch):
    told = []
    monkeypatch.setattr(emitting.emitter, "put", told.append)
    end(mapping_of(api), "succeeded")
    assert told == []


@pytest.mark.parametrize(
    ("url", "is_right"),
    [
        ("", True),
        ("http://marquez:5000", True),
        ("https://lineage.example.com/base/", True),
        ("marquez:5000", False),
        ("http://user:secret@marquez:5000", False),
        ("http://marquez:5000/?key=secret", False),
    ],
)
def test_the_address_is_checked(settings, url, is_right):
    settings.OPENLINEAGE_URL = url
    found = [one for one in run_checks(tags=["service"]) if one.id == "service.E071"]
    assert len(found) == (not is_right)
    assert "secret" not in str(found)
