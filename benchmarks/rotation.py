"""How fast a key rotation is, beside bare `MultiFernet.rotate` and `bulk_write` on the same store.

    MONGODB_URL=mongodb://localhost:27017 python benchmarks/rotation.py --passwords 100000

Both take turns, so that what else the machine does weighs on both. Works in a database of its
own, which it drops. Fails where the command is slower than half the bare speed.
"""

import argparse
import io
import os
import secrets
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from pymongo import timeout

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

BATCH = 1000
PATIENCE_S = 600.0
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def main() -> int:
    options = _options()
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "etl_config.settings",
        "MONGODB_DB_NAME": f"benchmark_{secrets.token_hex(4)}",
        "ENCRYPTION_KEY": NEW,
        "ENCRYPTION_KEYS_RETIRED": OLD,
        "SECRET_KEY": secrets.token_urlsafe(50),
    }
    import django

    django.setup()
    from django.db import connection

    bare_s = command_s = 0.0
    try:
        for _ in range(options.rounds):
            bare_s += _timed("bare", options.passwords // options.rounds, _bare)
            command_s += _timed("command", options.passwords // options.rounds, _command)
    finally:
        connection.connection.drop_database(os.environ["MONGODB_DB_NAME"])
    ratio = bare_s / command_s
    for name, elapsed_s in (("bare", bare_s), ("command", command_s)):
        _say(f"{name}: {options.passwords / elapsed_s:,.0f}/s")
    _say(f"rotate_encryption_key runs at {ratio:.0%} of the bare speed")
    return 0 if ratio >= 0.5 else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--passwords", type=int, default=100_000, help="each, in all rounds")
    parser.add_argument("--rounds", type=int, default=4)
    return parser.parse_args()


def _timed(name: str, passwords: int, work: Callable[[Any], None]) -> float:
    from common.documents import store
    from connections.models import Connection

    collection = store.collection(Connection)
    with timeout(PATIENCE_S):
        _fill(collection, passwords)
    started = time.perf_counter()
    work(collection)
    elapsed_s = time.perf_counter() - started
    _say(f"{name}: {passwords:,} passwords in {elapsed_s:.1f} s, {passwords / elapsed_s:,.0f}/s")
    fernet = Fernet(NEW)
    with timeout(PATIENCE_S):
        stored = list(collection.find({}, {"password": 1}))
    assert all(fernet.decrypt(found["password"]) == b"secret" for found in stored)  # noqa: S101
    return elapsed_s


def _fill(collection: Any, passwords: int) -> None:
    """Store connections whose passwords are under the old key."""
    collection.drop()
    old = Fernet(OLD)
    for start in range(0, passwords, BATCH):
        collection.insert_many(
            {"name": f"c{number}", "host": "db", "password": old.encrypt(b"secret").decode()}
            for number in range(start, min(start + BATCH, passwords))
        )


def _bare(collection: Any) -> None:
    from pymongo import UpdateOne

    both = MultiFernet([Fernet(NEW), Fernet(OLD)])
    with timeout(PATIENCE_S):
        documents = collection.find({}, {"password": 1}, batch_size=BATCH)
        while batch := list(islice(documents, BATCH)):
            collection.bulk_write(
                [
                    UpdateOne(
                        {"_id": found["_id"]},
                        {"$set": {"password": both.rotate(found["password"]).decode()}},
                    )
                    for found in batch
                ],
                ordered=False,
            )


def _command(collection: Any) -> None:
    from django.core.management import call_command

    call_command("rotate_encryption_key", stdout=io.StringIO(), stderr=io.StringIO())


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
