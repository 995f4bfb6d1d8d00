"""Connections in the admin: the API's rules, secrets that stay secret, tests that are noted."""

import pytest
from bson import ObjectId
from django.urls import reverse

from common.tests.client import PASSWORD, connection_body, connection_document, made
from common.tests.operator import form_fields
from connections.models import Connection
from sources.errors import TooManyProbes
from sources.probe import ProbeResult

LIST, ADD, CHANGE = (f"connections_connection_{page}" for page in ("changelist", "add", "change"))
DELETE, TEST = "connections_connection_delete", "connections_connection_test"


def add_fields(**changes):
    fields = connection_body(ssl_mode="prefer", **changes)
    return {name: str(value) for name, value in fields.items()}


@pytest.fixture
def answers(monkeypatch):
    """Every source answers but those whose host is `silent`; returns who was asked."""
    asked = []

    def probe(params, timeout_s):
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
    assert operator.save(CHANGE, record["id"], host="elsewhere", password="") == {}
    changed = Connection.objects.get()
    assert (changed.host, changed.password.reveal()) == ("elsewhere", PASSWORD)


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
    api.patch(f"connections/{record['id']}", {"host": "moved"})
    errors = operator.errors(operator.post(CHANGE, record["id"], **form_fields(page)))
    assert errors["__all__"] == [
        "The record changed since it was read; read it again and repeat the change."
    ]
    assert api.get(f"connections/{record['id']}").json()["host"] == "moved"


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
    assert operator.save(CHANGE, unreadable, host="moved") == {}
    assert stored.connections.find_one()["password"] == "gAAAAnonsense"


def test_an_unreadable_password_can_be_replaced(operator, unreadable):
    assert operator.save(CHANGE, unreadable, password="fresh") == {}
    assert Connection.objects.get().password.reveal() == "fresh"


def test_a_connection_with_an_unreadable_password_can_be_deleted(operator, unreadable, stored):
    operator.post(DELETE, unreadable, post="yes")
    assert stored.connections.count_documents({}) == 0


def test_a_test_of_an_unreadable_password_says_so(operator, unreadable, answers):
    assert operator.act(LIST, "test_chosen", [unreadable]) == [
        '0 of 1 connection answered: "lost": No configured encryption key opens the stored secret.'
    ]
    assert answers == []


# --- Deleting ------------------------------------------------------------------------------------


def test_deleting_what_is_in_use_says_by_what(operator, api):
    record = made(api, "connections", name="shop")
    made(api, "mappings", name="orders", source_connection_id=record["id"])
    sentence = api.delete(f"connections/{record['id']}").detail
    for method in (operator.client.get, operator.client.post):
        answer = method(reverse(f"admin:{DELETE}", args=[record["id"]]), follow=True)
        assert [str(message) for message in answer.context["messages"]] == [sentence]
    assert api.names("connections") == ["shop"]


def test_deleting_the_chosen_reports_who_stays_and_why(operator, api):
    used = made(api, "connections", name="used")
    free = [made(api, "connections") for _ in range(2)]
    made(api, "mappings", name="orders", source_connection_id=used["id"])
    ids = [used["id"], *(one["id"] for one in free)]
    asked = operator.client.post(
        reverse(f"admin:{LIST}"), {"action": "delete_selected", "_selected_action": ids}
    )
    assert "Are you sure" in asked.content.decode()
    assert operator.act(LIST, "delete_selected", ids, post="yes") == [
        '2 of 3 connections deleted: The connection "used" is in use by the mapping "orders".'
    ]
    assert api.names("connections") == ["used"]


# --- Tests ---------------------------------------------------------------------------------------


def test_the_chosen_are_tested_and_counted(operator, api, answers):
    good = [made(api, "connections") for _ in range(3)]
    bad = made(api, "connections", name="legacy", host="silent")
    ids = [one["id"] for one in [*good, bad]]
    assert operator.act(LIST, "test_chosen", ids) == [
        '3 of 4 connections answered: "legacy": silent:5432 did not answer.'
    ]
    assert api.get(f"connections/{bad['id']}").json()["last_test_status"] == "failed"
    assert api.get(f"connections/{good[0]['id']}").json()["last_test_status"] == "success"


def test_a_busy_service_is_waited_for(operator, api, answers, monkeypatch):
    record = made(api, "connections")
    busy = iter([TooManyProbes("Busy."), None])

    def probe(params, timeout_s):
        if error := next(busy):
            raise error
        return ProbeResult(True, "Connection successful")

    monkeypatch.setattr("connections.checkup.probe", probe)
    assert operator.act(LIST, "test_chosen", [record["id"]]) == ["1 of 1 connection answered."]


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
    fields = form_fields(operator.html(CHANGE, record["id"])) | {"host": ["silent"]}
    url = reverse(f"admin:{TEST}") + f"?id={record['id']}"
    answer = operator.client.post(url, fields).content.decode()
    assert "silent:5432 did not answer." in answer
    assert "not saved" in answer
    assert api.get(f"connections/{record['id']}").json()["last_test_status"] is None


def test_a_new_connection_is_tested_before_it_is_saved(operator, api, answers):
    answer = operator.post(TEST, **add_fields(name="")).content.decode()
    assert "Connection successful" in answer
    assert api.names("connections") == []


def test_a_test_takes_a_post(operator):
    assert operator.get(TEST).status_code == 405


# --- Odd addresses -------------------------------------------------------------------------------


@pytest.mark.parametrize("identifier", ["nope", str(ObjectId())])
def test_a_record_that_is_not_there_leads_back(operator, identifier):
    assert operator.get(CHANGE, identifier).status_code == 302
