"""Writes of several documents: all or none, in turn with others; and what the service keeps."""

import threading
import time

import pymongo
import pytest
from bson import ObjectId
from pymongo.errors import PyMongoError

from common.documents import store, writes
from common.documents.writes import Change
from common.exceptions import Stale
from common.tests.client import document, made
from common.tests.operator import commands_sent
from connections.models import Connection
from schemas.models import Schema


def schema_of(stored, **changes):
    return Schema.from_document(document(stored, "schemas", **changes))


def test_a_transaction_that_fails_leaves_nothing(stored):
    schema = schema_of(stored)

    def work():
        schema.description = "new"
        schema.save()
        raise Stale

    with pytest.raises(Stale):
        writes.transaction(work)
    assert stored.schemas.find_one({"_id": schema.pk})["description"] is None


def test_a_transaction_that_ran_out_of_time_leaves_its_records_to_others(stored):
    schema = schema_of(stored)

    def work():
        writes.hold(Schema, schema.pk)
        time.sleep(0.3)
        store.find_one(Schema, {"_id": schema.pk})

    with commands_sent() as commands, pytest.raises(PyMongoError) as late, pymongo.timeout(0.2):
        writes.transaction(work)
    assert late.value.timeout
    assert commands[-1] == "abortTransaction"


def test_a_record_of_a_transaction_that_failed_can_be_saved_again(stored):
    schema = schema_of(stored)
    attempts = []

    def work():
        schema.description = "new"
        schema.save()
        attempts.append(schema.description)
        if len(attempts) == 1:
            raise store.WriteConflict

    writes.transaction(work)

    assert attempts == ["new", "new"]
    assert stored.schemas.find_one({"_id": schema.pk})["description"] == "new"


def test_of_two_transactions_that_hold_a_record_one_sees_what_the_other_wrote(stored):
    schema, order = schema_of(stored), []
    inside = threading.Event()

    def first():
        writes.hold(Schema, schema.pk)
        inside.set()
        order.append("first")
        stored.schemas.update_one(
            {"_id": schema.pk}, {"$set": {"description": "first"}}, session=store.mongodb.session
        )

    def second():
        inside.wait(5)

        def work():
            writes.hold(Schema, schema.pk)
            found = store.find_one(Schema, {"_id": schema.pk})
            order.append(found["description"])

        writes.transaction(work)

    thread = threading.Thread(target=second)
    thread.start()
    writes.transaction(first)
    thread.join(10)
    assert order[0] == "first"
    assert order[-1] == "first"


def test_a_change_holds_while_its_document_is_what_it_was(stored):
    written = document(stored, "schemas")
    stored.schemas.update_one({"_id": written["_id"]}, {"$set": {"description": "another"}})
    with pytest.raises(Stale):
        writes.apply(Change(Schema, written, {**written, "description": "new"}))
    with pytest.raises(Stale):
        writes.apply(Change(Schema, written, None))


def test_what_the_service_keeps_stands_in_no_changes_way(api, stored):
    record = made(api, "connections")
    identifier = ObjectId(record["id"])
    etag = api.get(f"connections/{record['id']}").etag
    assert writes.keep(Connection, {"_id": identifier}, {"last_test_status": "success"})

    after = api.get(f"connections/{record['id']}")
    assert after.json()["updated_at"] == record["updated_at"]
    assert after.etag != etag
    assert api.patch(f"connections/{record['id']}", {"database": "b"}, If_Match=etag).status == 200


@pytest.fixture
def stand_alone(stored, monkeypatch):
    monkeypatch.setattr(store.mongodb.features, "_supports_transactions", False)
    return stored


def test_a_server_without_transactions_is_served_in_the_same_order(stand_alone, api):
    mapping = made(api, "mappings")
    rules = f"mappings/{mapping['id']}/column-mappings"
    rule = {"type": "direct", "source_columns": ["a"], "target_fields": ["id"]}
    assert api.put(rules, [rule]).status == 200
    assert api.delete(f"connections/{mapping['source_connection_id']}").code == "in_use"
    assert api.delete(f"mappings/{mapping['id']}").status == 204
    assert stand_alone.column_mappings.count_documents({}) == 0
