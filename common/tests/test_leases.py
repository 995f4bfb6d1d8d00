"""A lease is a field that a record has for a while; nobody but its holder takes notice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from common.documents import store
from common.exceptions import InUse, NotFound, Stale
from common.tests.client import connection_body, mapping_body, schema_body
from connections.models import Connection
from schemas.models import Schema


@pytest.fixture
def connection(api):
    return api.create("connections", connection_body())


@pytest.fixture
def identifier(connection):
    return ObjectId(connection["id"])


def leased(stored, identifier):
    return "_lease" in stored.connections.find_one({"_id": identifier})


def expire(stored, identifier):
    past = datetime.now(UTC) - timedelta(seconds=1)
    stored.connections.update_one({"_id": identifier}, {"$set": {"_lease.expires_at": past}})


def test_a_leased_record_is_read_and_changed_as_ever(api, stored, connection, identifier):
    path = f"connections/{connection['id']}"
    etag = api.get(path).etag

    with store.lease(Connection, identifier):
        assert leased(stored, identifier)
        assert api.get(path).etag == etag
        assert api.get(path).json() == api.get("connections").json()[0] == connection
        changed = api.patch(path, {"host": "db2"}, If_Match=etag)
        assert changed.status == 200

    assert not leased(stored, identifier)
    assert api.get(path).etag == changed.etag


def test_a_thread_takes_its_own_lease_again(stored, identifier):
    with store.lease(Connection, identifier), store.lease(Connection, identifier):
        assert leased(stored, identifier)

    assert not leased(stored, identifier)


def test_a_refused_delete_ends_its_lease(api, stored, identifier, connection):
    api.create("mappings", mapping_body(api, source_connection_id=connection["id"]))

    with pytest.raises(InUse):
        Connection(pk=identifier).delete()

    assert not leased(stored, identifier)


def test_an_expired_lease_is_taken_over(stored, identifier):
    with store.lease(Connection, identifier):
        expire(stored, identifier)
        holder = stored.connections.find_one()["_lease"]["holder"]
        store._held.holders.clear()
        with store.lease(Connection, identifier):
            assert stored.connections.find_one()["_lease"]["holder"] != holder


def test_who_lost_an_expired_lease_deletes_nothing(api, stored, identifier, connection):
    """Stopped between its look for references and the removal, longer than a lease lives."""
    record = Connection(pk=identifier)
    with store.lease(Connection, identifier):
        record.refuse_if_used()
        expire(stored, identifier)
        with ThreadPoolExecutor() as others:
            body = mapping_body(api, source_connection_id=connection["id"])
            others.submit(api.create, "mappings", body).result()
        with pytest.raises(Stale):
            record._remove()

    assert api.get(f"connections/{connection['id']}").status == 200


def test_what_another_program_keeps_in_a_record_survives_a_lease(stored, identifier):
    stored.connections.update_one({"_id": identifier}, {"$set": {"owner": "crm"}})

    with store.lease(Connection, identifier):
        pass

    assert stored.connections.find_one({"_id": identifier})["owner"] == "crm"


def test_who_lost_an_expired_lease_changes_nothing(api, stored):
    api.create("schemas", schema_body())
    schema = Schema.from_document(stored.schemas.find_one())
    schema.columns = schema.columns[:1]
    with store.lease(Schema, schema.pk):
        stored.schemas.update_one({"_id": schema.pk}, {"$set": {"_lease.holder": "another"}})
        with pytest.raises(Stale):
            schema.save()


@pytest.mark.parametrize("odd", ["x", [1], {}, {"a": 1}, {"expires_at": "2020"}, None, 7])
def test_a_lease_that_is_none_holds_nobody_up(api, stored, connection, identifier, odd):
    stored.connections.update_one({"_id": identifier}, {"$set": {"_lease": odd}})

    api.create("mappings", mapping_body(api, source_connection_id=connection["id"]))

    assert not leased(stored, identifier)


def test_there_is_no_lease_of_what_is_gone(stored):
    with pytest.raises(NotFound), store.lease(Connection, ObjectId()):
        pass
