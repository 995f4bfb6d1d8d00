import contextlib
import sys

import pytest
from pymongo import MongoClient

from devtools.mongodb import answers, mongodb
from devtools.mongodb_server import flatten
from devtools.processes import LOOPBACK, free_port, running, wait_until

DOCUMENT = {"_id": 1, "owner": {"name": "ann", "age": 7}}
CHANGED = DOCUMENT | {"owner": {"name": "ann", "age": 8}}
CORRECTED = [
    ({"$project": {"owner": {"name": 1}}}, {"_id": 1, "owner": {"name": "ann"}}),
    ({"$addFields": {"owner": {"age": 8}}}, CHANGED),
    ({"$set": {"owner": {"age": 8}}}, CHANGED),
    ({"$set": {"owner": {"age": {"$add": ["$owner.age", 1]}}}}, CHANGED),
]
"""Stages, and what MongoDB makes of the document."""


@pytest.mark.parametrize(
    ("nested", "dotted"),
    [
        ({"x": {"y": 1}}, {"x.y": 1}),
        ({"x": {"y": {"z": 1}, "w": 0}}, {"x.y.z": 1, "x.w": 0}),
        ({"x": {"$add": [1, 2]}}, {"x": {"$add": [1, 2]}}),
        ({"x": {"y": {"$size": "$z"}}}, {"x.y": {"$size": "$z"}}),
        ({"x": {}, "_id": 0}, {"x": {}, "_id": 0}),
    ],
)
def test_nested_projections_become_dotted_ones(nested, dotted):
    assert flatten(nested) == dotted


def test_the_launcher_answers_as_mongodb_does(tmp_path):
    with mongodb(tmp_path, free_port(), durable=False) as server:
        for stage, in_mongodb in CORRECTED:
            assert answered(server.url, stage) == [in_mongodb], stage


def test_the_server_alone_still_needs_each_correction(tmp_path):
    with uncorrected(tmp_path) as url:
        for stage, in_mongodb in CORRECTED:
            wrong = answered(url, stage) != [in_mongodb]
            assert wrong, f"remove the correction of {stage} in devtools/mongodb_server.py"


def test_a_cursor_goes_on_after_its_first_batch(tmp_path):
    with mongodb(tmp_path, free_port(), durable=False) as server, MongoClient(server.url) as client:
        client.test.many.insert_many({"_id": at} for at in range(250))
        assert [found["_id"] for found in client.test.many.find()] == list(range(250))


def answered(url, stage):
    with MongoClient(url) as client:
        client.test.things.replace_one({"_id": 1}, DOCUMENT, upsert=True)
        return list(client.test.things.aggregate([stage]))


@contextlib.contextmanager
def uncorrected(folder):
    port = free_port()
    address = ["--host", LOOPBACK, "--port", str(port), "--storage-path", str(folder / "data")]
    with running("The server", [sys.executable, "-m", "secantus", *address]) as child:
        url = f"mongodb://{LOOPBACK}:{port}"
        wait_until(lambda: answers(url), child)
        yield url
