"""Connections in the admin: the API's rules, secrets that stay secret, tests that are noted."""

import contextlib
import re
import socket
from datetime import datetime, timedelta

import pytest
from bson import ObjectId
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from common.admin.conflicts import Difference
from common.admin.forms import CHANGED_MEANWHILE, OVERWRITE
from common.tests.client import PASSWORD, connection_body, connection_document, document, made
from common.tests.operator import form_fields, someone
from connections.models import Connection
from sources.errors import TooManyProbes
from sources.probe import ProbeResult

LIST, ADD, CHANGE = (f"connections_connection_{page}" for page in ("changelist", "add", "change"))
DELETE, TEST = "connections_connection_delete", "connections_connection_test"


def add_fields(**changes):
    fields = connection_body(ssl_mode="prefer", **changes)
    return {name: str(value) for name, value in fields.items()}


@pytest.fixture
def listener():
    """A port of this machine, and a function that tells how many have called there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        calls = 0

        def arrivals():
            nonlocal calls
            with contextlib.suppress(TimeoutError):
                while True:
                    server.accept()[0].close()
                    calls += 1
            return calls

        yield server.getsockname()[1], arrivals


@pytest.fixture
def answers(monkeypatch):
    """Every source answers but those whose host is `silent`; returns who was asked."""
    asked = []

    def probe(params, timeout_s, client=""):
        asked.append(params)
        if params.host == "silent":
            return ProbeResult(False, "silent:5432 did not answer.", {"error_code": "timeout"})
        details = {"db_type": params.kind, "server": "PostgreSQL", "version": "16.2"}
        return ProbeResult(True, "Connection successful", details)

    monkeypatch.setattr("connections.admin.probe", probe)
    monkeypatch.setattr("connections.checkup.probe", probe)
    return asked


def test_a_connection_is_added_as_the_api_would(operator, api):
    assert operator.save(ADD, **add_fields(name="  shop  ", port="")) == {}
    (record,) = api.get("connections").json()
    assert (record["name"], record["port"], record["ssl_mode"]) == ("shop", 5432, "prefer")
    assert Connection.objects.get().password.reveal() == PASSWORD


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "taken"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"host": "http://db"}, "host"),
        ({"port": "no"}, "port"),
        ({"port": "70000"}, "port"),
        ({"password": ""}, "password"),
        ({"db_type": "oracle"}, "db_type"),
        ({"ssl_cert": "PEM"}, "ssl_key"),
        ({"ssh_host": "jump"}, "ssh_username"),
    ],
)
def test_what_the_api_refuses_is_refused_with_the_same_sentence(operator, api, changes, field):
    api.create("connections", connection_body(name="taken"))
    fields = connection_body(**changes)
    sentence = api.post("connections", fields).messages[field]
    assert operator.save(ADD, **add_fields(**changes))[field] == [sentence]
    assert api.names("connections") == ["taken"]


def test_an_empty_password_keeps_the_stored_one(operator, api):
    record = made(api, "connections")
    assert operator.save(CHANGE, record["id"], username="another", password="") == {}
    changed = Connection.objects.get()
    assert (changed.username, changed.password.reveal()) == ("another", PASSWORD)


def test_another_place_asks_for_the_password_again(operator, api):
    record = made(api, "connections")
    refused = api.patch(f"connections/{record['id']}", {"host": "elsewhere"})
    sentence = refused.messages["password"]
    assert operator.save(CHANGE, record["id"], host="elsewhere") == {"password": [sentence]}
    assert operator.save(CHANGE, record["id"], host="elsewhere", password=PASSWORD) == {}
    assert Connection.objects.get().host == "elsewhere"


def test_a_new_password_replaces_it(operator, api):
    record = made(api, "connections")
    assert operator.save(CHANGE, record["id"], password=" new ") == {}
    assert Connection.objects.get().password.reveal() == " new "


def test_an_optional_secret_can_be_removed(operator, api):
    record = made(api, "connections", ssl_cert="CERT", ssl_key="KEY")
    assert operator.save(CHANGE, record["id"], ssl_cert="", **{"ssl_key-remove": "1"}) == {}
    changed = Connection.objects.get()
    assert (changed.ssl_cert, changed.ssl_key) == (None, None)


def test_a_save_that_changes_nothing_leaves_the_document_as_it_is(operator, stored):
    document = connection_document(ssl_ca="line one\nline two\n", further="kept")
    stored.connections.insert_one(dict(document))
    assert operator.save(CHANGE, document["_id"]) == {}
    after = stored.connections.find_one()
    assert {name: after[name] for name in document if name != "updated_at"} == {
        name: value for name, value in document.items() if name != "updated_at"
    }


def test_no_page_holds_a_secret(operator, api, stored):
    record = made(api, "connections")
    token = stored.connections.find_one()["password"]
    again = operator.client.post(
        reverse(f"admin:{CHANGE}", args=[record["id"]]),
        add_fields(name="", password="typed-secret"),
    )
    pages = [
        operator.html(LIST),
        operator.html(CHANGE, record["id"]),
        again.content.decode(),
        operator.html(DELETE, record["id"]),
    ]
    for secret in (PASSWORD, token, "typed-secret"):
        assert not any(secret in page for page in pages)
    assert operator.save(CHANGE, record["id"], password="typed-secret") == {}
    assert "typed-secret" not in operator.html("connections_connection_history", record["id"])


def test_a_change_made_meanwhile_is_not_overwritten(operator, api):
    record = made(api, "connections")
    page = operator.html(CHANGE, record["id"])
    api.patch(f"connections/{record['id']}", {"username": "theirs"})
    typed = form_fields(page) | {"username": ["mine"]}
    answer = operator.post(CHANGE, record["id"], **typed)
    assert operator.errors(answer)["__all__"] == [str(CHANGED_MEANWHILE.message)]
    assert api.get(f"connections/{record['id']}").json()["username"] == "theirs"
    assert form_fields(answer.content.decode())["username"] == ["mine"]
    (difference,) = answer.context["conflict"].differences
    assert difference == Difference("Username", "mine", "theirs")


def test_a_page_that_went_stale_asks_for_the_secret_again(operator, api):
    record = made(api, "connections")
    page = operator.html(CHANGE, record["id"])
    api.patch(f"connections/{record['id']}", {"username": "theirs"})
    typed = form_fields(page) | {"password": ["typed-secret"]}
    answer = operator.post(CHANGE, record["id"], **typed)
    assert answer.context["conflict"].differences[-1] == Difference(
        "Password", "another one: type it again", "set"
    )
    assert "typed-secret" not in answer.content.decode()


def test_what_was_typed_is_saved_over_a_newer_version_on_purpose(operator, api):
    record = made(api, "connections")
    typed = form_fields(operator.html(CHANGE, record["id"])) | {"username": ["mine"]}
    api.patch(f"connections/{record['id']}", {"username": "theirs"})
    page = operator.post(CHANGE, record["id"], **typed)
    again = form_fields(page.content.decode()) | {OVERWRITE: [page.context["conflict"].version]}
    api.patch(f"connections/{record['id']}", {"username": "newer still"})
    refused = operator.post(CHANGE, record["id"], **again)
    assert operator.errors(refused)["__all__"] == [str(CHANGED_MEANWHILE.message)]
    again[OVERWRITE] = [refused.context["conflict"].version]
    assert operator.errors(operator.post(CHANGE, record["id"], **again)) == {}
    assert api.get(f"connections/{record['id']}").json()["username"] == "mine"


# --- A password that no key opens ----------------------------------------------------------------


@pytest.fixture
def unreadable(stored):
    document = connection_document(name="lost", password="gAAAAnonsense")
    stored.connections.insert_one(document)
    return document["_id"]


def test_an_unreadable_password_breaks_no_page(operator, unreadable):
    assert "unreadable" in operator.html(LIST)
    assert "unreadable" in operator.html(CHANGE, unreadable)


def test_an_unreadable_password_stays_through_another_change(operator, unreadable, stored):
    assert operator.save(CHANGE, unreadable, username="another") == {}
    assert stored.connections.find_one()["password"] == "gAAAAnonsense"


def test_an_unreadable_password_can_be_replaced(operator, unreadable):
    assert operator.save(CHANGE, unreadable, password="fresh") == {}
    assert Connection.objects.get().password.reveal() == "fresh"


def test_a_connection_with_an_unreadable_password_can_be_deleted(operator, unreadable, stored):
    operator.post(DELETE, unreadable, post="yes")
    assert stored.connections.count_documents({}) == 0


def test_a_test_of_an_unreadable_password_says_so(operator, unreadable, answers):
    assert operator.act(LIST, "test_selected", [unreadable]) == [
        '0 of 1 connection answered: "lost": No configured encryption key opens the stored secret.'
    ]
    assert answers == []


# --- Deleting ------------------------------------------------------------------------------------


def test_deleting_what_is_in_use_says_by_what(operator, api):
    record = made(api, "connections", name="shop")
    made(api, "mappings", name="orders", source_connection_id=record["id"])
    sentence = api.delete(f"connections/{record['id']}").detail
    asked = operator.get(DELETE, record["id"])
    done = operator.post(DELETE, record["id"], post="yes")
    for answer in (asked, done):
        assert answer.context["protected"] == [sentence]
        assert b'name="post"' not in answer.content
    assert api.names("connections") == ["shop"]
    assert not LogEntry.objects.exists()


def test_deleting_what_is_free_says_so_and_is_noted(operator, api):
    record = made(api, "connections", name="shop")
    assert "Delete the connection &quot;shop&quot;?" in operator.html(DELETE, record["id"])
    operator.post(DELETE, record["id"], post="yes")
    assert api.names("connections") == []
    assert [str(entry.object_repr) for entry in LogEntry.objects.all()] == ["shop"]


def test_deleting_the_selected_reports_who_stays_and_why(operator, api):
    used = made(api, "connections", name="used")
    free = [made(api, "connections") for _ in range(2)]
    made(api, "mappings", name="orders", source_connection_id=used["id"])
    ids = [used["id"], *(one["id"] for one in free)]
    asked = operator.client.post(
        reverse(f"admin:{LIST}"), {"action": "delete_selected", "_selected_action": ids}
    )
    sentence = 'The connection "used" is in use by the mapping "orders".'
    assert asked.context["protected"] == [sentence]
    assert "Delete 2 connections?" in asked.content.decode()
    assert operator.act(LIST, "delete_selected", ids, post="yes") == [
        f"2 of 3 connections deleted: {sentence}"
    ]
    assert api.names("connections") == ["used"]


def test_only_what_was_deleted_is_noted_as_deleted(operator, api):
    used, free = made(api, "connections"), made(api, "connections")
    made(api, "mappings", source_connection_id=used["id"])
    operator.act(LIST, "delete_selected", [used["id"], free["id"]], post="yes")
    assert [entry.object_id for entry in LogEntry.objects.all()] == [free["id"]]
    operator.act(LIST, "delete_selected", [used["id"]], post="yes")
    assert LogEntry.objects.count() == 1


# --- Tests ---------------------------------------------------------------------------------------


def test_the_selected_are_tested_and_counted(operator, api, answers):
    good = [made(api, "connections") for _ in range(3)]
    bad = made(api, "connections", name="legacy", host="silent")
    ids = [one["id"] for one in [*good, bad]]
    assert operator.act(LIST, "test_selected", ids) == [
        '3 of 4 connections answered: "legacy": silent:5432 did not answer.'
    ]
    assert api.get(f"connections/{bad['id']}").json()["last_test_status"] == "failed"
    assert api.get(f"connections/{good[0]['id']}").json()["last_test_status"] == "success"


def test_a_whole_page_is_tested(operator, api, stored, answers):
    made(api, "connections")
    token = stored.connections.find_one()["password"]
    ids = [document(stored, "connections", password=token)["_id"] for _ in range(100)]
    assert operator.act(LIST, "test_selected", ids) == ["100 of 100 connections answered."]


def test_more_than_a_page_is_told_and_nothing_tested(operator, stored, answers, monkeypatch):
    monkeypatch.setattr("connections.admin.ConnectionAdmin.list_per_page", 2)
    ids = [document(stored, "connections")["_id"] for _ in range(3)]
    (said,) = operator.act(LIST, "test_selected", ids, select_across="1")
    assert said.startswith("Nothing was done: more than 2 are selected.")
    assert answers == []


def test_a_failed_test_says_why_on_the_page(operator, stored):
    failed = {"last_test_message": "legacy:5432 did not answer.", "last_test_error_code": "timeout"}
    record = document(stored, "connections", last_test_status="failed", **failed)
    page = operator.html(CHANGE, record["_id"])
    assert "legacy:5432 did not answer." in page
    assert ">timeout</code>" in page


@pytest.mark.parametrize(
    ("value", "found"), [("success", ["good"]), ("failed", ["bad"]), ("never", ["new", "newer"])]
)
def test_the_list_is_filtered_by_the_last_test(operator, stored, value, found):
    document(stored, "connections", name="good", last_test_status="success")
    document(stored, "connections", name="bad", last_test_status="failed")
    document(stored, "connections", name="new", last_test_status=None)
    document(stored, "connections", name="newer")
    stored.connections.update_one({"name": "newer"}, {"$unset": {"last_test_status": 1}})
    shown = operator.get(LIST, last_test=value).context["cl"].result_list
    assert sorted(one.name for one in shown) == found
    both = operator.get(LIST, last_test=value, db_type__exact=shown[0].db_type)
    assert len(both.context["cl"].result_list) == len(found)


def test_a_busy_service_is_waited_for(operator, api, answers, monkeypatch):
    record = made(api, "connections")
    busy = iter([TooManyProbes("Busy."), None])

    def probe(params, timeout_s, client=""):
        if error := next(busy):
            raise error
        return ProbeResult(True, "Connection successful")

    monkeypatch.setattr("connections.checkup.probe", probe)
    assert operator.act(LIST, "test_selected", [record["id"]]) == ["1 of 1 connection answered."]


def test_the_record_is_tested_and_the_result_noted(operator, api, answers):
    record = made(api, "connections")
    fields = form_fields(operator.html(CHANGE, record["id"]))
    url = reverse(f"admin:{TEST}") + f"?id={record['id']}"
    answer = operator.client.post(url, fields).content.decode()
    assert "Connection successful" in answer
    assert "PostgreSQL 16.2" in answer
    assert answers[-1].password == PASSWORD
    assert api.get(f"connections/{record['id']}").json()["last_test_status"] == "success"


def test_what_is_typed_is_tested_and_not_noted(operator, api, answers):
    record = made(api, "connections")
    typed = {"host": ["silent"], "password": ["typed"]}
    fields = form_fields(operator.html(CHANGE, record["id"])) | typed
    url = reverse(f"admin:{TEST}") + f"?id={record['id']}"
    answer = operator.client.post(url, fields).content.decode()
    assert "silent:5432 did not answer." in answer
    assert "not saved" in answer
    assert api.get(f"connections/{record['id']}").json()["last_test_status"] is None


@pytest.mark.parametrize(
    ("place", "field"),
    [
        (lambda port: {"host": "127.0.0.1", "port": port}, "Password"),
        (
            lambda port: {
                "ssh_host": "127.0.0.1",
                "ssh_port": port,
                "ssh_username": "me",
                "ssh_host_key": "ssh-ed25519 AAAA",
                "ssh_password": "typed",
            },
            "Password",
        ),
    ],
)
def test_no_test_takes_a_stored_secret_to_another_place(operator, api, listener, place, field):
    record = made(api, "connections")
    port, arrivals = listener
    fields = form_fields(operator.html(CHANGE, record["id"]))
    fields |= {name: [str(value)] for name, value in place(port).items()}
    url = reverse(f"admin:{TEST}") + f"?id={record['id']}"
    answer = operator.client.post(url, fields).content.decode()
    assert f"<strong>{field}</strong>" in answer
    assert "The connection would lead elsewhere" in answer
    assert arrivals() == 0
    operator.client.post(url, fields | {"password": ["given again"]})
    assert arrivals() > 0


def test_a_new_connection_is_tested_before_it_is_saved(operator, api, answers):
    answer = operator.post(TEST, **add_fields(name="")).content.decode()
    assert "Connection successful" in answer
    assert api.names("connections") == []


def test_a_test_takes_a_post(operator):
    assert operator.get(TEST).status_code == 405


def test_a_test_takes_the_right_to_change_connections(stored, answers):
    record = document(stored, "connections")
    viewer = someone("viewer")
    url = reverse(f"admin:{TEST}") + f"?id={record['_id']}"
    assert viewer.client.post(url, add_fields()).status_code == 403
    assert viewer.client.post(reverse(f"admin:{TEST}"), add_fields()).status_code == 403
    assert viewer.act(LIST, "test_selected", [record["_id"]]) == []
    assert answers == []


# --- Odd addresses -------------------------------------------------------------------------------


@pytest.mark.parametrize("identifier", ["nope", "6b0bc33058e7051d6c108b63"])
def test_a_record_that_is_not_there_leads_back(operator, identifier):
    assert operator.get(CHANGE, identifier).status_code == 302


# --- Checks over time -----------------------------------------------------------------------------


def test_the_page_shows_the_last_checks_in_words(api, stored, operator):
    record = made(api, "connections")
    page = operator.html(CHANGE, record["id"])
    assert "Connections are not checked on their own" in page
    noon = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - as it is stored
    for minute, (code, latency) in enumerate([(None, 2.25), ("timeout", None), (None, 1234.5)]):
        check = {"success": code is None, "error_code": code, "latency_ms": latency}
        at = noon + timedelta(minutes=minute)
        stored.connection_checks.insert_one(
            {"connection_id": ObjectId(record["id"]), "at": at, **check}
        )
    page = operator.html(CHANGE, record["id"])
    assert "2 of the last 3 were answered, half of them within 618 ms" in page
    assert re.findall(r'title="(\w+), 2026-01-31 12:0\d:00 UTC">([^<]+)<', page) == [
        ("success", "2.2 ms"), ("failed", "timeout"), ("success", "1,234 ms"),
    ]  # fmt: skip
