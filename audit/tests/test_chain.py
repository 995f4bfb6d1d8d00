"""The chain of sealed entries: how it grows, what others do to it, and that it shows."""

import contextlib
import hashlib
import hmac
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from bson import Int64, ObjectId
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection

from audit import chain, sealing, verification
from audit.chain import ChainBroken, Link
from audit.sealing import Overtaken, Sealer, seal_all
from common.documents import store
from common.tests.client import schema_body
from schemas.models import Column, Schema

KEY = "a key of the audit that is long enough for this"
OLD_KEY = "another key of the audit, from before it"
LENGTH = 8


@pytest.fixture(autouse=True)
def keys(settings):
    settings.AUDIT_KEY = KEY
    settings.AUDIT_KEYS_RETIRED = []


def write(count=1):
    for _ in range(count):
        Schema(name=str(ObjectId()), columns=[Column(name="id", data_type="string")]).save()


@pytest.fixture
def sealed(stored):
    """A store with eight sealed entries."""
    write(LENGTH)
    assert seal_all() == LENGTH
    return stored


def problems():
    return verification.verify(lambda count: None).problems


def verified(*args):
    out = StringIO()
    call_command("verify_audit", *args, stdout=out, stderr=out)
    return out.getvalue()


# --- Sealing --------------------------------------------------------------------------------------


def test_an_entry_is_sealed_with_what_answers_show_of_it(api):
    api.create("schemas", schema_body("ä"))
    api.create("schemas", schema_body())
    seal_all()
    second, first = api.get("audit").json()
    assert (first["seq"], second["seq"]) == (1, 2)
    assert first["previous_hash"] == 64 * "0"
    assert second["previous_hash"] == first["hash"]
    for entry in (first, second):
        sealed = {name: entry[name] for name in entry if name not in ("id", "_id", "hash")}
        text = json.dumps(sealed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert entry["hash"] == hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
    assert problems() == []


def test_a_seal_is_never_made_anew(sealed):
    before = list(sealed.audit.find())
    assert seal_all() == 0
    assert list(sealed.audit.find()) == before


def test_it_seals_what_has_settled(stored):
    write()
    sealer = Sealer()
    assert sealer.turn() == 0
    time.sleep(sealing.SETTLED_S)
    assert sealer.turn() == 1


def test_one_process_seals_at_a_time_and_another_goes_on_when_it_is_gone(stored, monkeypatch):
    first, second = Sealer(), Sealer()
    assert first.has_lease()
    assert not second.has_lease()
    assert first.has_lease()
    stored[chain.MARKS].update_one(
        {"_id": "lease"}, {"$set": {"until": sealing.naive_now() - timedelta(seconds=1)}}
    )
    assert second.has_lease()
    assert not first.has_lease()


def test_many_who_seal_at_once_make_one_chain(stored):
    writing = threading.Event()

    def writer():
        write(40)

    def seal():
        while not writing.is_set():
            with contextlib.suppress(Overtaken):
                sealing.seal_some(settled_s=0)

    writers = [threading.Thread(target=writer) for _ in range(4)]
    sealers = [threading.Thread(target=seal) for _ in range(3)]
    for thread in writers + sealers:
        thread.start()
    for thread in writers:
        thread.join(60)
    writing.set()
    for thread in sealers:
        thread.join(60)
    seal_all()
    found = list(stored.audit.find(sort=[("seq", 1)]))
    assert [entry["seq"] for entry in found] == list(range(1, 161))
    assert problems() == []


STEPS = ((sealing, "_head"), (sealing, "_write"), (sealing, "_unsealed"), (chain, "move_mark"))


@pytest.mark.parametrize("step", range(5))
def test_who_is_frozen_at_any_step_and_wakes_does_no_harm(stored, monkeypatch, step):
    """While it stands before a step, another seals all and more."""
    write(3)
    seal_all()
    write(3)
    steps = []

    def freezing(work):
        def frozen(*args):
            steps.append(work)
            if len(steps) == step + 1:
                seal_all()
                write(2)
                seal_all()
            return work(*args)

        return frozen

    for module, name in STEPS:
        monkeypatch.setattr(module, name, freezing(getattr(module, name)))
    with contextlib.suppress(Overtaken):
        sealing.seal_some(settled_s=0)
    assert len(steps) > step
    steps += range(9)
    seal_all()
    assert problems() == []
    assert [e["seq"] for e in stored.audit.find(sort=[("seq", 1)])] == list(range(1, 9))


@pytest.mark.parametrize("step", range(5))
def test_who_is_killed_at_any_step_is_gone_on_from(stored, monkeypatch, step):
    write(3)
    seal_all()
    write(3)
    steps = []

    def killing(work):
        def killed(*args):
            steps.append(work)
            if len(steps) == step + 1:
                raise KeyboardInterrupt
            return work(*args)

        return killed

    with monkeypatch.context() as dying:
        for module, name in STEPS:
            dying.setattr(module, name, killing(getattr(module, name)))
        with contextlib.suppress(KeyboardInterrupt):
            sealing.seal_some(settled_s=0)
    assert problems() == []
    write()
    seal_all()
    assert problems() == []
    assert [e["seq"] for e in stored.audit.find(sort=[("seq", 1)])] == list(range(1, 8))


KILLS = 5
SEALING = """
import django; django.setup()
from audit.sealing import Sealer, Overtaken, seal_some
import audit.sealing
while True:
    try:
        audit.sealing.BATCH = 7
        seal_some(settled_s=0)
    except Overtaken:
        pass
"""


def test_killed_again_and_again_the_chain_is_right(stored):
    environment = {
        **os.environ,
        "MONGODB_DB_NAME": connection.settings_dict["NAME"],
        "DJANGO_SETTINGS_MODULE": "etl_config.settings",
        "AUDIT_KEY": KEY,
    }
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", SEALING], env=environment, cwd=Path(django_settings.BASE_DIR)
        )
        deadline = time.monotonic() + 30
        before = stored.audit.count_documents({"seq": {"$ne": None}})
        try:
            while stored.audit.count_documents({"seq": {"$ne": None}}) == before:
                write(10)
                assert time.monotonic() < deadline
            time.sleep(random.uniform(0, 0.05))  # noqa: S311
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    seal_all()
    assert problems() == []


# --- Keys -----------------------------------------------------------------------------------------


def test_a_retired_key_still_verifies(sealed, settings):
    settings.AUDIT_KEY, settings.AUDIT_KEYS_RETIRED = "k" * 40, [KEY]
    write()
    seal_all()
    assert problems() == []
    settings.AUDIT_KEYS_RETIRED = []
    assert len(problems()) >= LENGTH


def test_without_a_key_of_its_own_it_is_derived_from_the_secret_key(stored, settings):
    settings.AUDIT_KEY = ""
    write()
    seal_all()
    former = settings.SECRET_KEY
    settings.SECRET_KEY = "s" * 50
    assert problems() != []
    settings.AUDIT_KEYS_RETIRED = [former]
    assert problems() == []


# --- What others do to it -------------------------------------------------------------------------


def set_of_five(**changes):
    return lambda entries: entries.update_one({"seq": 5}, {"$set": changes})


def forged(entries, seq, **changes):
    entry = entries.find_one({"seq": 5}, {"_id": 0})
    entries.insert_one({**entry, "seq": seq, **changes})


def swapped(entries):
    three, four = (entries.find_one({"seq": seq})["_id"] for seq in (3, 4))
    entries.update_one({"_id": three}, {"$set": {"seq": 99}})
    entries.update_one({"_id": four}, {"$set": {"seq": 3}})
    entries.update_one({"_id": three}, {"$set": {"seq": 4}})


def unsealed(entries):
    nothing = {"seq": None, "previous_hash": None, "hash": None, "name": "another"}
    entries.update_one({"seq": LENGTH}, {"$set": nothing})
    seal_all()


def resealed(entries):
    """Seal all behind a change anew, with a key of one's own."""
    entries.update_one({"seq": 5}, {"$set": {"actor": "somebody else"}})
    last = chain.link_of(entries.find_one({"seq": 4}))
    for seq in range(5, LENGTH + 1):
        document = entries.find_one({"seq": seq})
        made = chain.linked(document, last, "a key that is not the service's")
        entries.update_one({"_id": document["_id"]}, {"$set": made})
        last = chain.link_of(made)


def head(entries, update):
    entries.database[chain.MARKS].update_one({"_id": "head"}, update)


def forged_cut(entries):
    marks = entries.database[chain.MARKS]
    marks.insert_one({**marks.find_one({"_id": "head"}), "_id": "cut"})
    entries.delete_many({})


TAMPERING = {
    "at": (set_of_five(at=datetime(2020, 1, 1)), "seq 5, entry .*: changed"),  # noqa: DTZ001
    "actor": (set_of_five(actor="somebody else"), "seq 5, entry .*: changed"),
    "via": (set_of_five(via="admin"), "seq 5, entry .*: changed"),
    "address": (set_of_five(address="10.0.0.1"), "seq 5, entry .*: changed"),
    "request_id": (set_of_five(request_id="another"), "seq 5, entry .*: changed"),
    "action": (set_of_five(action="delete"), "seq 5, entry .*: changed"),
    "kind": (set_of_five(kind="mappings"), "seq 5, entry .*: changed"),
    "record_id": (set_of_five(record_id=ObjectId()), "seq 5, entry .*: changed"),
    "name": (set_of_five(name="another"), "seq 5, entry .*: changed"),
    "a value": (set_of_five(**{"changes.name.1": "another"}), "seq 5, entry .*: changed"),
    "all values": (set_of_five(changes={}), "seq 5, entry .*: changed"),
    "a field more": (set_of_five(note="hello"), "seq 5, entry .*: changed"),
    "previous_hash": (set_of_five(previous_hash=64 * "a"), "seq 5, entry .*: changed"),
    "hash": (set_of_five(hash=64 * "a"), "seq 5, entry .*: changed"),
    "no hash": (set_of_five(hash=None), "seq 5, entry .*: changed"),
    "seq as another number": (set_of_five(seq=5.5), "changed or inserted"),
    "seq as a text": (set_of_five(seq="5"), "changed or inserted"),
    "seq moved": (set_of_five(seq=90), "seq 5: removed|seq 5 to 8: removed"),
    "one removed": (lambda entries: entries.delete_one({"seq": 5}), "seq 5: removed"),
    "three removed": (lambda e: e.delete_many({"seq": {"$in": [3, 4, 5]}}), "seq 3 to 5: removed"),
    "the first removed": (lambda entries: entries.delete_one({"seq": 1}), "seq 1: removed"),
    "the last removed": (lambda entries: entries.delete_one({"seq": LENGTH}), "seq 8: cut off"),
    "the end cut off": (lambda e: e.delete_many({"seq": {"$gt": 4}}), "seq 5 to 8: cut off"),
    "all removed": (lambda entries: entries.delete_many({}), "seq 1 to 8: cut off"),
    "one inserted at the end": (lambda entries: forged(entries, 9), "seq 9, .*: inserted"),
    "one inserted beside": (lambda e: forged(e, Int64(5), name="evil"), "changed or inserted"),
    "two exchanged": (swapped, "seq 3, entry .*: changed"),
    "one unsealed to be sealed anew": (unsealed, "seq 8, entry .*: changed"),
    "all sealed anew": (resealed, "seq 5, entry .*: changed"),
    "head moved": (lambda e: head(e, {"$set": {"seq": 4}}), "head: changed"),
    "head removed": (
        lambda e: e.database[chain.MARKS].delete_one({"_id": "head"}),
        "head: removed",
    ),
    "head made the cut": (forged_cut, "cut: changed"),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_what_others_change_is_found(sealed, name):
    tamper, expected = TAMPERING[name]
    assert "0 wait" in verified()
    tamper(sealed.audit)
    with pytest.raises(CommandError, match=expected):
        verified()


def test_sealing_does_not_hide_what_was_cut_off(sealed):
    sealed.audit.delete_many({"seq": {"$gt": 4}})
    write(2)
    seal_all()
    assert problems() == ["seq 5 to 8: removed"]


def test_without_its_head_nothing_is_sealed(sealed):
    sealed[chain.MARKS].delete_one({"_id": "head"})
    write()
    with pytest.raises(ChainBroken):
        seal_all()


def test_a_seal_that_is_known_elsewhere_shows_that_all_was_put_back(stored):
    write(2)
    seal_all()
    marks = stored[chain.MARKS].find_one({"_id": "head"})
    write(2)
    seal_all()
    newest = chain.read_mark("head").link
    assert "0 wait" in verified(f"--known={newest.seq}:{newest.hash}")
    stored.audit.delete_many({"seq": {"$gt": 2}})
    stored[chain.MARKS].replace_one({"_id": "head"}, marks)
    with pytest.raises(CommandError, match="seq 4: cut off, though you know of its seal"):
        verified(f"--known={newest.seq}:{newest.hash}")


def test_what_waits_for_its_seal_is_named_after_a_minute(stored):
    write()
    assert problems() == []
    stored.audit.update_many({}, {"$set": {"at": sealing.naive_now() - timedelta(seconds=61)}})
    (said,) = problems()
    assert "waits for its seal" in said


# --- Retention ------------------------------------------------------------------------------------


def test_old_entries_are_cut_and_the_chain_is_right(stored, settings, monkeypatch):
    write(4)
    with monkeypatch.context() as then:
        moment = store.now() - timedelta(days=40)
        then.setattr(store, "now", lambda: moment)
        write(4)
        then.undo()
    seal_all()
    assert [e["seq"] for e in stored.audit.find({}, sort=[("at", 1)])][:4] == [1, 2, 3, 4]
    assert sealing.cut_old() == 0
    settings.AUDIT_KEEP_DAYS = 30
    assert sealing.cut_old() == 4
    assert sealing.cut_old() == 0
    assert problems() == []
    assert chain.read_mark("cut").link == Link(
        4, stored.audit.find_one({"seq": 5})["previous_hash"]
    )
    write()
    seal_all()
    assert problems() == []
    stored.audit.delete_one({"seq": 5})
    assert problems() == ["seq 5: removed"]


def test_what_was_made_old_by_others_is_not_cut(sealed, settings):
    settings.AUDIT_KEEP_DAYS = 30
    old = sealing.naive_now() - timedelta(days=31)
    sealed.audit.update_many({}, {"$set": {"at": old}})
    assert sealing.cut_old() == 0
    assert len(problems()) == LENGTH
