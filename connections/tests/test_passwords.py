import base64
import logging
from io import StringIO

import pytest
from bson import ObjectId
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management import call_command

from common.tests.client import PASSWORD, connection_body, connection_document, made
from connections.models import Connection


@pytest.fixture
def fernet():
    """What another service that has the key uses."""
    return Fernet(settings.ENCRYPTION_KEY)


def token_of(stored, record):
    return stored.connections.find_one({"_id": ObjectId(record["id"])})["password"]


def test_the_store_holds_a_token_that_any_holder_of_the_key_opens(api, stored, fernet):
    token = token_of(stored, made(api, "connections", password=PASSWORD))
    assert token.startswith("gAAAA")
    assert fernet.decrypt(token).decode() == PASSWORD


@pytest.mark.parametrize(
    "password", ["x", " padded ", "   ", "pässwörd 🔑", "a" * 1000, '"\\\n', "gAAAAA", "Z0FBQ"]
)
def test_a_password_is_kept_exactly(api, stored, fernet, password):
    token = token_of(stored, made(api, "connections", password=password))
    assert fernet.decrypt(token).decode() == password


@pytest.mark.parametrize("change", [{"name": "x"}, {"password": None}, {"password": ""}])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_without_a_password_keeps_the_stored_one(api, stored, method, change):
    record = made(api, "connections")
    before = token_of(stored, record)
    answer = api.request(method, f"connections/{record['id']}", change)
    assert answer.status == 200
    assert token_of(stored, record) == before


def test_a_new_password_replaces_the_stored_one(api, stored, fernet):
    record = made(api, "connections")
    api.patch(f"connections/{record['id']}", {"password": "another"})
    assert fernet.decrypt(token_of(stored, record)).decode() == "another"


def test_a_refused_change_keeps_the_stored_password(api, stored):
    record = made(api, "connections")
    before = token_of(stored, record)
    api.patch(f"connections/{record['id']}", {"password": "another", "port": 0})
    assert token_of(stored, record) == before


def test_a_token_wrapped_in_base64_is_read_and_kept_as_it_is(api, stored, fernet):
    wrapped = base64.b64encode(fernet.encrypt(PASSWORD.encode())).decode()
    assert wrapped.startswith("Z0FBQ")
    document = connection_document(password=wrapped)
    stored.connections.insert_one(document)
    loaded = Connection.objects.get(pk=document["_id"])
    assert loaded.params().password == PASSWORD
    api.patch(f"connections/{document['_id']}", {"name": "changed"})
    assert stored.connections.find_one()["password"] == wrapped
    api.patch(f"connections/{document['_id']}", {"password": "another"})
    assert fernet.decrypt(stored.connections.find_one()["password"]).decode() == "another"


@pytest.mark.parametrize(
    "garbage", ["", "nonsense", "gAAAAnonsense", "Z0FBQ!", "Z0FBQUFB", b"\xff", 5, None, {}]
)
def test_a_password_that_cannot_be_read_stands_in_nobodys_way(api, stored, garbage):
    document = connection_document(password=garbage)
    stored.connections.insert_one(document)
    path = f"connections/{document['_id']}"
    assert api.get("connections").status == 200
    assert api.patch(path, {"name": "changed"}).status == 200
    assert stored.connections.find_one()["password"] == garbage
    assert api.patch(path, {"password": PASSWORD}).status == 200
    assert Connection.objects.get().params().password == PASSWORD
    assert api.delete(path).status == 204


def test_neither_the_password_nor_its_token_comes_out_anywhere(api, stored, caplog):
    caplog.set_level(logging.DEBUG)
    body = connection_body(password=PASSWORD)
    created = api.post("connections", body)
    path = f"connections/{created.json()['id']}"
    token = token_of(stored, created.json())
    answers = [
        created,
        api.get(path),
        api.get("connections"),
        api.get(f"connections?search={PASSWORD}"),
        api.put(path, {"password": PASSWORD, "name": "changed"}),
        api.patch(path, {"password": PASSWORD, "port": "x"}),
        api.post("connections", body | {"name": "changed"}),
        api.post("connections", body | {"nmae": 1}),
        api.get("/openapi.json"),
    ]
    dump = StringIO()
    call_command("dumpdata", "connections", stdout=dump)
    loaded = Connection.objects.get()
    texts = [answer.body.decode() for answer in answers]
    texts += [str(answer.headers) for answer in answers]
    texts += [dump.getvalue(), caplog.text, repr(loaded), str(vars(loaded))]
    for text in texts:
        assert PASSWORD not in text
        assert token not in text
    assert "password" not in created.json()
