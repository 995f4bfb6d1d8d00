"""What a change of a schema would be, and what it was before."""

import threading

import pytest
from bson import ObjectId
from django.db import connection

from common.tests.client import column, direct, in_process, made
from schemas import evolution


def columns(*names):
    return [column(name) for name in names]


def change(name, kind, old, new):
    return {"column": name, "change": kind, "from": old, "to": new}


@pytest.fixture
def used(api):
    """A schema of a scheduled mapping, one of whose rules writes `email`."""
    mapping = made(api, "mappings", name="orders")
    api.create(f"mappings/{mapping['id']}/column-mappings", direct("mail", "email"))
    api.create(
        "schedules",
        {"name": "nightly", "mapping_id": mapping["id"], "cron_expression": "0 6 * * *"},
    )
    return api.get(f"schemas/{mapping['target_schema_id']}").json()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("id name", "id name", []),
        ("id name", "id name age", [change("age", "added", None, "string")]),
        ("id name", "name", [change("id", "dropped", "string", None)]),
        ("a b c d", "d a b c", [change("d", "moved", 3, 0)]),
        ("a b c d", "b c d a", [change("a", "moved", 0, 3)]),
        ("a b", "x b a", [change("x", "added", None, "string"), change("a", "moved", 0, 2)]),
        (
            "id Name",
            "id name",
            [change("Name", "dropped", "string", None), change("name", "added", None, "string")],
        ),
    ],
)
def test_a_change_is_told_in_as_few_steps_as_there_can_be(before, after, expected):
    found = evolution.differences(columns(*before.split()), columns(*after.split()))
    assert [one.as_dict() for one in found] == expected


def test_a_check_names_everything_that_a_change_touches(api, used):
    wanted = [column("id", "integer"), column("name"), column("new")]
    answer = api.post(f"schemas/{used['id']}/check", {"columns": wanted})
    assert answer.status == 200, answer.body
    (mapping,), (schedule,) = api.get("mappings").json(), api.get("schedules").json()
    (rule,) = api.get(f"mappings/{mapping['id']}/column-mappings").json()
    assert answer.json() == {
        "compatible": False,
        "changes": [
            change("id", "retyped", "string", "integer"),
            change("email", "dropped", "string", None),
            change("new", "added", None, "string"),
        ],
        "mappings": [{"id": mapping["id"], "name": "orders"}],
        "column_mappings": [{"id": rule["id"], "name": "direct mail → email"}],
        "schedules": [{"id": schedule["id"], "name": "nightly"}],
    }
    assert api.get(f"schemas/{used['id']}").json() == used


@pytest.mark.parametrize(
    ("names", "compatible"),
    [("id name email", True), ("email id name more", True), ("id name", False)],
)
def test_a_check_says_whether_the_change_would_be_taken(api, used, names, compatible):
    body = {"columns": columns(*names.split())}
    assert api.post(f"schemas/{used['id']}/check", body).json()["compatible"] is compatible
    assert (api.patch(f"schemas/{used['id']}", body).status == 200) is compatible


def test_a_check_of_nothing_touches_nothing(api, used):
    report = api.post(f"schemas/{used['id']}/check", {}).json()
    assert report == {
        "compatible": True,
        "changes": [],
        "mappings": [],
        "column_mappings": [],
        "schedules": [],
    }


def test_a_check_refuses_what_is_no_change(api, used):
    path = f"schemas/{used['id']}/check"
    assert api.post(path, {"columns": [column("a", "text")]}).codes == {
        "columns.0.data_type": "invalid_choice"
    }
    assert api.post(path, {"colums": []}).codes == {"colums": "unknown_field"}
    assert api.post(f"schemas/{ObjectId()}/check", {}).status == 404


@pytest.mark.parametrize(
    ("wanted", "code"),
    [([column("id", "date")], "incompatible_schema"), ([column("id")], "in_use")],
)
def test_a_conflict_carries_the_report_of_the_check(api, used, wanted, code):
    report = api.post(f"schemas/{used['id']}/check", {"columns": wanted}).json()
    answer = api.patch(f"schemas/{used['id']}", {"columns": wanted})
    assert (answer.status, answer.code) == (409, code)
    assert report["compatible"] is False
    assert {name: answer.json()[name] for name in report} == report


def test_only_a_change_of_columns_makes_a_version(api):
    schema = made(api, "schemas", columns=columns("id"))
    path = f"schemas/{schema['id']}"
    api.patch(path, {"description": "new"})
    api.patch(path, {"columns": columns("id")})
    assert api.get(f"{path}/versions").json() == []
    api.patch(path, {"columns": columns("id", "name")})
    api.patch(path, {"columns": columns("name", "id")})
    answer = api.get(f"{path}/versions")
    assert answer.headers["x-total-count"] == "3"
    third, second, first = answer.json()
    assert [one["version"] for one in (third, second, first)] == [3, 2, 1]
    assert (first["actor"], first["columns"], first["changes"]) == (None, columns("id"), [])
    assert second["actor"] == third["actor"] == "open"
    assert second["columns"] == columns("id", "name")
    assert second["changes"] == [change("name", "added", None, "string")]
    assert third["changes"] == [change("id", "moved", 0, 1)]
    assert second["at"] == api.get(path).json()["updated_at"] or second["at"] < third["at"]
    assert api.get(f"{path}/versions?limit=1&offset=1").json() == [second]
    assert api.get(f"{path}/versions?limt=1").status == 400


def test_a_refused_change_makes_no_version(api, used):
    path = f"schemas/{used['id']}"
    assert api.patch(path, {"columns": columns("id")}).status == 409
    assert api.patch(path, {"columns": columns("id", "ID")}).status == 400
    assert api.get(f"{path}/versions").json() == []


def test_what_another_program_changed_is_a_version_of_nobody(api, stored):
    schema = made(api, "schemas", columns=columns("id"))
    path = f"schemas/{schema['id']}"
    api.patch(path, {"columns": columns("id", "name")})
    stored.schemas.update_one({}, {"$set": {"columns": columns("id", "name", "theirs")}})
    api.patch(path, {"columns": columns("id", "name", "theirs", "ours")})
    fourth, third = api.get(f"{path}/versions").json()[:2]
    assert (third["actor"], third["changes"]) == (
        None,
        [change("theirs", "added", None, "string")],
    )
    assert fourth["changes"] == [change("ours", "added", None, "string")]


def test_versions_go_with_their_schema(api, stored):
    schema = made(api, "schemas", columns=columns("id"))
    path = f"schemas/{schema['id']}"
    api.patch(path, {"columns": columns("id", "name")})
    assert api.delete(path).status == 204
    assert api.get(f"{path}/versions").status == 404
    assert stored.schema_versions.count_documents({}) == 0


def test_two_at_once_have_a_version_each(api, stored):
    schema = made(api, "schemas", columns=columns("id"))
    path = f"schemas/{schema['id']}"
    statuses = []

    def add(name):
        one = in_process()
        for _ in range(20):
            seen = one.get(path)
            wanted = [*seen.json()["columns"], column(name)]
            answer = one.patch(path, {"columns": wanted}, If_Match=seen.etag)
            if answer.status == 200:
                break
        statuses.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=add, args=(f"c{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 4
    found = api.get(f"{path}/versions").json()
    assert [one["version"] for one in found] == [5, 4, 3, 2, 1]
    assert found[0]["columns"] == api.get(path).json()["columns"]
