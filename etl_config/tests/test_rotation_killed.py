"""Rotation killed at random moments, with passwords being written, and every password compared."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pymongo
import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connection

from common.tests.client import connection_document

MANAGE = Path(settings.BASE_DIR, "manage.py")
OLD_KEY, NEW_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()
PASSWORDS = 1000
KILLS = 4


@pytest.fixture(autouse=True)
def unhurried(stored):
    """Wait for the store, however slow it is while two rotations' worth of data pass through."""
    with pymongo.timeout(300):
        yield
        stored.connections.delete_many({})


def rotation() -> subprocess.Popen:
    environment = {
        **os.environ,
        "MONGODB_DB_NAME": connection.settings_dict["NAME"],
        "ENCRYPTION_KEY": NEW_KEY,
        "ENCRYPTION_KEYS_RETIRED": OLD_KEY,
    }
    return subprocess.Popen(
        [sys.executable, MANAGE, "rotate_encryption_key"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class Writer(threading.Thread):
    """Gives records new passwords all the while, under either key, as two processes would."""

    def __init__(self, collection, identifiers):
        super().__init__()
        self.collection, self.identifiers = collection, identifiers
        self.written = {}
        self.stop = threading.Event()

    def run(self):
        keys = [Fernet(OLD_KEY), Fernet(NEW_KEY)]
        while not self.stop.is_set():
            identifier = random.choice(self.identifiers)  # noqa: S311
            password = f"changed {time.monotonic_ns()}"
            token = random.choice(keys).encrypt(password.encode()).decode()  # noqa: S311
            self.collection.update_one({"_id": identifier}, {"$set": {"password": token}})
            self.written[identifier] = password
            time.sleep(0.002)


def test_killed_again_and_again_it_finishes_and_no_password_is_lost(stored):
    old = Fernet(OLD_KEY)
    documents = [
        connection_document(password=old.encrypt(f"password {number}".encode()).decode())
        for number in range(PASSWORDS)
    ]
    stored.connections.insert_many(documents)
    expected = {found["_id"]: f"password {n}" for n, found in enumerate(documents)}
    writer = Writer(stored.connections, list(expected))
    writer.start()
    try:
        for _ in range(KILLS):
            process = rotation()
            # Starting up takes about a second of this, the writes about two.
            time.sleep(random.uniform(0.8, 2.2))  # noqa: S311
            process.kill()
            process.communicate()
    finally:
        writer.stop.set()
        writer.join()

    process = rotation()
    said, _ = process.communicate()

    assert process.returncode == 0, said
    assert "ENCRYPTION_KEYS_RETIRED may be emptied" in said
    new = Fernet(NEW_KEY)
    opened = {
        found["_id"]: new.decrypt(found["password"]).decode() for found in stored.connections.find()
    }
    assert opened == expected | writer.written


def test_ctrl_c_ends_it_calmly(stored):
    token = Fernet(OLD_KEY).encrypt(b"secret").decode()
    documents = [connection_document(password=token) for _ in range(2000)]
    stored.connections.insert_many(documents)
    process = rotation()
    first = {"_id": documents[0]["_id"], "password": token}
    while stored.connections.find_one(first) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)

    assert process.returncode == 130, said
    assert said.strip() == (
        "Stopped. Every secret is readable with the configured keys; run it again to finish."
    )
