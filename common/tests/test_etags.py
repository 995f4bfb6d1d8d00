import pytest
from bson import ObjectId

from common.tests.client import KINDS, NOBODY, body, direct, made

STALE = "The record changed since it was read; read it again and repeat the change."


@pytest.fixture(params=[*KINDS, "column-mappings"])
def record(request, api):
    """The path of a record, and of the list it is in."""
    if request.param != "column-mappings":
        return f"{request.param}/{made(api, request.param)['id']}"
    path = f"mappings/{made(api, 'mappings')['id']}/column-mappings"
    return f"{path}/{api.create(path, direct())['id']}"


def change(path):
    return {"source_columns": ["other"]} if "column-mappings" in path else {"name": "changed"}


def document_of(stored, path):
    collection, identifier = path.rsplit("/", 1)
    name = "column_mappings" if "column-mappings" in collection else collection
    return stored[name], {"_id": ObjectId(identifier)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_with_one_record_has_its_etag(api, kind):
    created = api.post(kind, body(api, kind))
    path = f"{kind}/{created.json()['id']}"
    assert created.etag == api.get(path).etag == api.get(path + "/").etag
    for method in ("PUT", "PATCH"):
        changed = api.request(method, path, {"name": f"by {method}"})
        assert changed.etag == api.get(path).etag != created.etag
    assert created.etag.startswith('"')
    assert created.etag.endswith('"')


def test_a_read_of_what_is_known_is_a_304_without_a_body(api, record):
    etag = api.get(record).etag
    for held in (etag, f"W/{etag}", f'"other", {etag}', f'"other",W/{etag}', "*"):
        answer = api.get(record, If_None_Match=held)
        assert (answer.status, answer.body, answer.etag) == (304, b"", etag), held
    for held in ('"other"', 'W/"other"', etag.strip('"'), ""):
        assert api.get(record, If_None_Match=held).status == 200, held


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_write_with_a_stale_etag_is_a_412_and_changes_nothing(api, stored, record, method):
    collection, only = document_of(stored, record)
    etag, before = api.get(record).etag, collection.find_one(only)
    for held in ('"other"', 'W/"other"', '"a", "b"', etag.strip('"'), "nonsense"):
        answer = api.request(method, record, change(record), If_Match=held)
        assert (answer.status, answer.code, answer.detail) == (412, "stale", STALE), held
    assert collection.find_one(only) == before


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '{},"other"', "*"])
def test_a_write_with_the_current_etag_is_done(api, record, method, form):
    held = form.format(api.get(record).etag)
    answer = api.request(method, record, change(record), If_Match=held)
    assert answer.status == (204 if method == "DELETE" else 200)


def test_an_etag_serves_one_write(api, record):
    etag = api.get(record).etag
    first = api.patch(record, change(record), If_Match=etag)
    second = api.patch(record, change(record), If_Match=etag)
    third = api.patch(record, change(record), If_Match=first.etag)
    assert (first.status, second.status, third.status) == (200, 412, 200)


def test_a_write_of_another_program_changes_the_etag(api, stored, record):
    collection, only = document_of(stored, record)
    etag = api.get(record).etag
    collection.update_one(only, {"$set": {"a field of its own": 1}})
    assert api.get(record).etag != etag
    assert api.get(record, If_None_Match=etag).status == 200
    assert api.patch(record, change(record), If_Match=etag).status == 412
    assert api.delete(record, If_Match=etag).status == 412
    assert api.delete(record, If_Match=api.get(record).etag).status == 204


def test_a_new_password_changes_the_etag(api):
    record = made(api, "connections")
    path = f"connections/{record['id']}"
    etag = api.get(path).etag
    api.patch(path, {"password": "another"})
    assert api.get(path).etag != etag


def test_a_run_that_passes_is_no_ones_write(api, stored):
    schedule = made(api, "schedules", cron_expression="* * * * *")
    only = {"_id": ObjectId(schedule["id"])}
    passed = stored.schedules.find_one(only)["created_at"]
    stored.schedules.update_one(only, {"$set": {"next_run_at": passed}})
    path = f"schedules/{schedule['id']}"
    held, shown = api.get(path).etag.strip('"').split("-")
    assert api.patch(path, {"name": "x"}, If_Match=f'"{held}-{shown[::-1]}"').status == 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_what_is_not_there_is_a_404_whatever_is_held(api, kind, method):
    for held in ("*", '"other"'):
        answer = api.request(method, f"{kind}/{NOBODY}", {"name": "x"}, If_Match=held)
        assert answer.status == 404


def test_stale_comes_before_invalid(api, record):
    assert api.patch(record, {"nonsense": 1}, If_Match='"other"').status == 412
