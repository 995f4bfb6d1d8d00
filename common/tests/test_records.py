import re
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from common.tests.client import KINDS, body, made

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.mark.parametrize("kind", KINDS)
def test_create_read_change_and_delete(api, stored, kind):
    created = api.post(kind, body(api, kind, name="first name"))
    record = created.json()
    assert created.status == 201
    path = f"{kind}/{record['id']}"
    assert created.headers["location"].endswith(f"/api/v1/{path}")
    assert api.get(path).json() == record
    assert record in api.get(kind).json()

    for method, name in (("PUT", "put name"), ("PATCH", "patch name")):
        answer = api.request(method, path, {"name": name})
        assert answer.status == 200
        assert answer.json() == api.get(path).json()
        assert answer.json() == record | {
            "name": name,
            "updated_at": answer.json()["updated_at"],
        }

    deleted = api.delete(path)
    assert (deleted.status, deleted.body) == (204, b"")
    assert api.get(path).status == 404
    assert api.delete(path).status == 404
    assert stored[kind].find_one({"_id": ObjectId(record["id"])}) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_carries_its_id_under_both_names(api, kind):
    record = made(api, kind)
    assert re.fullmatch("[0-9a-f]{24}", record["id"])
    assert record["_id"] == record["id"]


@pytest.mark.parametrize("kind", KINDS)
def test_moments_are_utc_with_milliseconds_and_bson_dates_in_the_store(api, stored, kind):
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    record = made(api, kind)
    stored_one = stored[kind].find_one({"_id": ObjectId(record["id"])})
    for name in ("created_at", "updated_at"):
        assert MOMENT.fullmatch(record[name])
        moment = datetime.fromisoformat(record[name])
        assert before <= moment <= datetime.now(UTC)
        assert stored_one[name].replace(tzinfo=UTC) == moment
    assert record["created_at"] == record["updated_at"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_moves_updated_at_alone(api, kind):
    record = made(api, kind)
    changed = api.patch(f"{kind}/{record['id']}", {"name": "changed"}).json()
    assert changed["created_at"] == record["created_at"]
    assert changed["updated_at"] > record["updated_at"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_record_read_and_changed_can_be_sent_back_whole(api, kind, method):
    record = made(api, kind)
    path = f"{kind}/{record['id']}"
    answer = api.request(method, path, record | {"name": "changed"})
    assert answer.status == 200, answer.body
    changed = answer.json()
    anew = {name: changed[name] for name in ("updated_at", "verification") if name in record}
    assert changed == record | {"name": "changed"} | anew


@pytest.mark.parametrize("kind", KINDS)
def test_read_only_fields_are_taken_and_ignored(api, kind):
    read_only = {
        "id": "0" * 24,
        "_id": "0" * 24,
        "created_at": "1999-01-01T00:00:00.000Z",
        "updated_at": "nonsense",
    }
    if kind == "connections":
        read_only |= {"last_tested_at": 5, "last_test_status": "success"}
    if kind == "schedules":
        read_only |= {"last_run_at": 5, "next_run_at": "1999-01-01T00:00:00.000Z"}
    created = api.post(kind, body(api, kind) | read_only)
    assert created.status == 201, created.body
    record = created.json()
    assert all(record[name] != value for name, value in read_only.items())
    changed = api.patch(f"{kind}/{record['id']}", read_only)
    assert changed.status == 200
    assert changed.json() == record | {"updated_at": changed.json()["updated_at"]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("  padded \n", "padded"),
        ("x", "x"),
        ("x" * 100, "x" * 100),
        (" " + "x" * 100 + " ", "x" * 100),
        ("😀" * 100, "😀" * 100),
        ("Zu\u0308rich · 東京", "Zürich · 東京"),
        ("a.b $c {d} <e> 'f' \"g\" \\h", "a.b $c {d} <e> 'f' \"g\" \\h"),
        ("$where", "$where"),
    ],
)
def test_names_are_trimmed_and_up_to_100_characters_of_any_kind(api, kind, sent, kept):
    record = made(api, kind, name=sent)
    assert record["name"] == kept
    assert api.get(f"{kind}/{record['id']}").json()["name"] == kept


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_of_101_characters_is_a_400(api, kind):
    answer = api.post(kind, body(api, kind, name="x" * 101))
    assert answer.status == 400
    assert answer.messages == {"name": "Ensure this field has no more than 100 characters."}


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_is_there_once(api, kind):
    made(api, kind, name="taken")
    other = made(api, kind)
    noun = kind.removesuffix("s")
    for answer in (
        api.post(kind, body(api, kind, name="  taken ")),
        api.patch(f"{kind}/{other['id']}", {"name": "taken"}),
    ):
        assert (answer.status, answer.code) == (409, "duplicate_name")
        assert answer.detail == f'A {noun} named "taken" exists already; choose another name.'
        assert answer.codes == {"name": "duplicate_name"}
    assert api.get(f"{kind}/{other['id']}").json() == other


@pytest.mark.parametrize("kind", KINDS)
def test_names_differ_by_case(api, kind):
    made(api, kind, name="Taken")
    assert made(api, kind, name="taken")["name"] == "taken"


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_may_keep_its_name(api, kind):
    record = made(api, kind)
    assert api.put(f"{kind}/{record['id']}", {"name": record["name"]}).status == 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["nmae", "name ", "Name", "$set", "a.b", "password_hash", "__v"])
def test_a_field_that_a_record_does_not_have_is_a_400_that_names_it(api, kind, field):
    record = made(api, kind)
    for answer in (
        api.post(kind, body(api, kind) | {field: "x"}),
        api.patch(f"{kind}/{record['id']}", {field: "x"}),
    ):
        assert answer.status == 400
        assert answer.messages == {field: "There is no such field."}
    assert api.get(f"{kind}/{record['id']}").json() == record


@pytest.mark.parametrize("kind", ["schemas", "mappings"])
def test_a_description_is_text_of_up_to_500_characters_or_null(api, kind):
    record = made(api, kind, description="x" * 500)
    assert record["description"] == "x" * 500
    cleared = api.patch(f"{kind}/{record['id']}", {"description": None})
    assert cleared.json()["description"] is None


@pytest.mark.parametrize("kind", ["schemas", "mappings"])
def test_a_description_that_is_not_sent_is_stored_as_null(api, stored, kind):
    sent = {name: value for name, value in body(api, kind).items() if name != "description"}
    record = api.create(kind, sent)
    assert record["description"] is None
    document = stored[kind].find_one({"_id": ObjectId(record["id"])})
    assert document["description"] is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_of_nothing_changes_nothing(api, stored, kind, method):
    record = made(api, kind)
    before, path = stored[kind].find_one(), f"{kind}/{record['id']}"
    etag = api.get(path).etag
    for change in (record, {}, {"name": f" {record['name']} "}):
        answer = api.request(method, path, change)
        assert (answer.status, answer.json(), answer.etag) == (200, record, etag)
    assert stored[kind].find_one() == before
