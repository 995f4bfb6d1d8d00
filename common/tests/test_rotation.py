"""Rotation of the encryption key: what is rewritten, what is left alone, what is said."""

import base64
import io
import json
from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from common.secrets import rotation
from common.tests.client import connection_body, connection_document

LOST = Fernet(Fernet.generate_key())
OLD_KEY, NEW_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()
OLD, NEW = Fernet(OLD_KEY), Fernet(NEW_KEY)


@pytest.fixture(autouse=True)
def keys(settings):
    settings.ENCRYPTION_KEY = NEW_KEY
    settings.ENCRYPTION_KEYS_RETIRED = [OLD_KEY]


def under(key: Fernet, plain: str = "secret") -> str:
    return key.encrypt(plain.encode()).decode()


def rotate(*options: str) -> str:
    out = io.StringIO()
    call_command("rotate_encryption_key", *options, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def failing(*options: str) -> tuple[str, str]:
    """Return what a rotation that fails prints, and the words it fails with."""
    out = io.StringIO()
    with pytest.raises(CommandError) as failure:
        call_command("rotate_encryption_key", *options, stdout=out, stderr=io.StringIO())
    assert failure.value.returncode == 1
    return out.getvalue(), str(failure.value)


def test_every_secret_comes_under_the_first_key(stored):
    stored.connections.insert_many(
        connection_document(password=under(OLD, f"secret {number}")) for number in range(30)
    )

    assert rotate() == (
        "30 secrets found; 30 written under the first key.\n"
        "ENCRYPTION_KEYS_RETIRED may be emptied: every secret is under ENCRYPTION_KEY.\n"
    )
    opened = {NEW.decrypt(found["password"]).decode() for found in stored.connections.find()}
    assert opened == {f"secret {number}" for number in range(30)}


def test_every_encrypted_field_is_rotated(stored):
    names = ["password", "ssl_key", "ssh_password", "ssh_private_key"]
    stored.connections.insert_one(connection_document(**{name: under(OLD, name) for name in names}))

    rotate()

    found = stored.connections.find_one()
    assert {NEW.decrypt(found[name]).decode() for name in names} == set(names)


def test_nothing_but_the_secret_changes(stored):
    before = connection_document(password=under(OLD), colour="written by another program")
    stored.connections.insert_one(dict(before))

    rotate()

    after = stored.connections.find_one()
    assert after | {"password": ""} == before | {"password": ""}
    assert list(after) == list(before)


def test_a_second_rotation_writes_nothing(stored):
    stored.connections.insert_one(connection_document(password=under(OLD)))
    rotate()
    before = stored.connections.find_one()

    assert rotate().startswith("1 secret found; 0 written under the first key.")
    assert stored.connections.find_one() == before


@pytest.mark.parametrize("key", [OLD, NEW])
def test_a_token_wrapped_in_base64_is_written_plain(stored, key):
    wrapped = base64.b64encode(under(key).encode()).decode()
    stored.connections.insert_one(connection_document(password=wrapped))

    assert "1 secret in a wrapping of base64 unwrapped." in rotate()
    assert NEW.decrypt(stored.connections.find_one()["password"]) == b"secret"


def test_a_token_stored_as_binary_is_written_as_text(stored):
    stored.connections.insert_one(connection_document(password=under(NEW).encode()))

    rotate()

    assert isinstance(stored.connections.find_one()["password"], str)


def test_a_password_changed_meanwhile_is_not_overwritten(stored, monkeypatch):
    stored.connections.insert_one(connection_document(password=under(OLD, "first")))
    write = rotation._written

    def change_first(collection, changes):
        monkeypatch.setattr(rotation, "_written", write)
        stored.connections.update_one({}, {"$set": {"password": under(NEW, "changed")}})
        return write(collection, changes)

    monkeypatch.setattr(rotation, "_written", change_first)

    assert "0 written under the first key." in rotate()
    assert NEW.decrypt(stored.connections.find_one()["password"]) == b"changed"


def test_what_an_old_process_writes_meanwhile_is_rotated_in_a_further_pass(stored, monkeypatch):
    stored.connections.insert_one(connection_document(password=under(OLD)))
    look = rotation.look
    late = iter([connection_document(password=under(OLD, "late"))])

    def write_behind_it(*args, **kwargs):
        report = look(*args, **kwargs)
        for document in late:
            stored.connections.insert_one(document)
        return report

    monkeypatch.setattr(rotation, "look", write_behind_it)

    assert "2 written under the first key." in rotate()
    assert {NEW.decrypt(found["password"]) for found in stored.connections.find()} == {
        b"secret",
        b"late",
    }


def test_an_old_process_that_never_stops_writing_is_told_of(stored, monkeypatch):
    look = rotation.look

    def write_before_it(*args, **kwargs):
        stored.connections.insert_one(connection_document(password=under(OLD)))
        return look(*args, **kwargs)

    monkeypatch.setattr(rotation, "look", write_before_it)

    printed, failure = failing()
    assert printed.endswith("Keep ENCRYPTION_KEYS_RETIRED: 1 secret under an old key.\n")
    assert "restart every process of the service with the new keys" in failure


def test_every_unreadable_record_is_named_and_the_others_rotated(stored):
    lost = connection_document(name="lost", password=under(LOST))
    broken = connection_document(name="broken", password=under(OLD), ssl_key="gAAAAbroken")
    stored.connections.insert_many([lost, broken, connection_document(password=under(OLD))])

    printed, failure = failing()

    assert printed == (
        "4 secrets found; 2 written under the first key.\n"
        "Keep ENCRYPTION_KEYS_RETIRED: 2 secrets unreadable.\n"
    )
    assert failure == (
        "No configured key opens 2 secrets; give each a new value, delete its record, or add its "
        "key to ENCRYPTION_KEYS_RETIRED:\n"
        f'  connections "lost" ({lost["_id"]}): password\n'
        f'  connections "broken" ({broken["_id"]}): ssl_key'
    )
    assert stored.connections.find_one({"name": "lost"}) == lost


@pytest.mark.parametrize("odd", ["", "plain text", 12, ["gAAAA"], b"\xff\xfe", "Z0FBQ", "ünïcode"])
def test_whatever_is_no_token_is_unreadable(stored, odd):
    stored.connections.insert_one(connection_document(password=odd))

    assert "1 secret unreadable" in failing()[0]


def test_an_absent_secret_is_no_secret(stored):
    document = connection_document(ssl_key=None)
    del document["password"]
    stored.connections.insert_one(document)

    assert rotate().startswith("0 secrets found")


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(stored):
    stored.connections.insert_many(
        connection_document(password=under(key)) for key in (OLD, OLD, NEW)
    )
    before = list(stored.connections.find())

    assert rotate("--dry-run") == (
        "3 secrets found; 2 would be written anew.\n"
        "Keep ENCRYPTION_KEYS_RETIRED: 2 secrets under an old key.\n"
    )
    assert list(stored.connections.find()) == before


def test_verify_tells_which_key_opens_each_secret(stored):
    stored.connections.insert_many(
        connection_document(password=under(key)) for key in (OLD, OLD, NEW)
    )

    assert rotate("--verify") == (
        "ENCRYPTION_KEY: 1 secret\n"
        "ENCRYPTION_KEYS_RETIRED, key 1: 2 secrets\n"
        "Keep ENCRYPTION_KEYS_RETIRED: 2 secrets under an old key.\n"
    )


def test_the_result_is_told_to_programs_too(stored):
    stored.connections.insert_one(connection_document(password=under(OLD)))

    assert json.loads(rotate("--json")) == {
        "secrets": 1,
        "rotated": 1,
        "due": 0,
        "wrapped": 0,
        "by_key": {"ENCRYPTION_KEYS_RETIRED, key 1": 1},
        "unreadable": [],
        "old_keys_can_be_dropped": True,
        "wrote": True,
    }


def test_no_secret_no_token_and_no_key_is_printed(stored):
    tokens = [under(LOST, "hunter2"), under(OLD, "hunter2")]
    stored.connections.insert_many(connection_document(password=token) for token in tokens)

    said = "".join([*failing("--verify"), *failing("--json"), *failing()])

    assert not [word for word in (*tokens, "hunter2", OLD_KEY, NEW_KEY) if word in said]


def test_the_api_reads_and_writes_on_while_keys_are_mixed(api, stored):
    identifier = api.create("connections", connection_body())["id"]
    stored.connections.update_one({}, {"$set": {"password": under(OLD)}})
    stored.connections.insert_one(connection_document(name="lost", password=under(LOST)))

    assert len(api.get("connections").json()) == 2
    assert api.patch(f"connections/{identifier}", {"database": "other"}).status == 200


def test_an_unreadable_password_can_be_replaced_and_its_record_deleted(api, stored):
    lost = connection_document(password=under(LOST))
    stored.connections.insert_one(lost)
    path = f"connections/{lost['_id']}"

    assert api.patch(path, {"password": "new"}).status == 200
    assert NEW.decrypt(stored.connections.find_one()["password"]) == b"new"
    assert api.delete(path).status == 204


def test_moments_stay(stored):
    moment = datetime(2020, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    stored.connections.insert_one(connection_document(password=under(OLD), updated_at=moment))

    rotate()

    assert stored.connections.find_one()["updated_at"] == moment
