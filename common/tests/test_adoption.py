"""migrate, on collections that other programs filled."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pymongo
import pytest
from bson import ObjectId
from django.conf import settings
from django.core.management import call_command

from common.tests.client import (
    column_mapping_document,
    connection_document,
    mapping_document,
)

MANAGE = Path(settings.BASE_DIR, "manage.py")
NAME = "etl_adopted"


@pytest.fixture
def older(stored):
    """A database that has never been migrated."""
    client = stored.client
    client.drop_database(NAME)
    yield client[NAME]
    client.drop_database(NAME)


def migrate(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, MANAGE, "migrate", *arguments],
        env={**os.environ, "MONGODB_DB_NAME": NAME, "MONGODB_URL": settings.MONGODB_URL},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_there_twice_is_listed_before_anything_is_done(older):
    ids = [ObjectId(f"{number:024}") for number in range(1, 9)]
    older.connections.insert_one(connection_document(name="x"))
    older.mappings.insert_many(
        mapping_document(_id=identifier, name=name)
        for identifier, name in zip(
            ids, ["daily", "daily", "\x1b[2J", "\x1b[2J", "one"], strict=False
        )
    )
    older.mappings.insert_many([{"name": None}, {"name": None}, {}, {"name": ["daily"]}])
    older.column_mappings.insert_many(
        [
            column_mapping_document(_id=ids[5], mapping_id=ids[0], target_fields=["a", "b"]),
            column_mapping_document(_id=ids[6], mapping_id=ids[0], target_fields=["b"]),
            column_mapping_document(_id=ids[7], mapping_id=ids[1], target_fields=["c", "c"]),
        ]
    )

    refused = migrate()

    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        "CommandError: Nothing was migrated: these must be unique, and are there twice or more.",
        f'  mappings: name "\\u001b[2J" (2 documents, such as {ids[2]}, {ids[3]})',
        f'  mappings: name "daily" (2 documents, such as {ids[0]}, {ids[1]})',
        f'  column_mappings: mapping_id {ids[0]}, target_fields "b" '
        f"(2 documents, such as {ids[5]}, {ids[6]})",
        "Change or remove all but one of each, then run this again. In mongosh, for example: "
        'db.COLLECTION.updateOne({_id: ObjectId("ID")}, {$set: {name: "…"}})',
    ]
    assert set(older.list_collection_names()) <= {
        "connections", "mappings", "column_mappings", "django_migrations",
    }  # fmt: skip
    assert not older.django_migrations.count_documents({})
    assert set(older.connections.index_information()) == {"_id_"}


def test_once_mended_it_goes_through(older):
    for _ in range(2):
        older.mappings.insert_one(mapping_document(name="daily"))
    assert "Traceback" not in migrate().stderr
    older.mappings.update_one({"name": "daily"}, {"$set": {"name": "daily 2"}})

    assert migrate().returncode == 0
    assert older.mappings.count_documents({}) == 2


def test_a_migration_takes_as_long_as_it_takes(stored):
    with pymongo.timeout(0.001):
        time.sleep(0.01)
        call_command("migrate", check_unapplied=True, verbosity=0)
