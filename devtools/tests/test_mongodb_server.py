import contextlib
import sys

import pytest
from pymongo import MongoClient

from devtools.mongodb import answers, mongodb
from devtools.mongodb_server import flatten
from devtools.processes import LOOPBACK, free_port, running, wait_until

DOCUMENT = {"_id": 1, "owner": {"name": "ann", "age": 7}}
PIPELINE = [{"$project": {"owner": {"name": 1}}}]
IN_MONGODB = [{"_id": 1, "owner": {"name": "ann"}}]


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


def test_the_launcher_includes_a_nested_field_as_mongodb_does(tmp_path):
    with mongodb(tmp_path, free_port(), durable=False) as server:
        assert projected(server.url) == IN_MONGODB


def test_the_server_alone_still_needs_the_correction(tmp_path):
    with uncorrected(tmp_path) as url:
        assert projected(url) != IN_MONGODB, "remove the correction in devtools/mongodb_server.py"


def projected(url):
    with MongoClient(url) as client:
        client.test.things.insert_one(DOCUMENT)
        return list(client.test.things.aggregate(PIPELINE))


@contextlib.contextmanager
def uncorrected(folder):
    port = free_port()
    address = ["--host", LOOPBACK, "--port", str(port), "--storage-path", str(folder / "data")]
    with running("The server", [sys.executable, "-m", "secantus", *address]) as child:
        url = f"mongodb://{LOOPBACK}:{port}"
        wait_until(lambda: answers(url), child)
        yield url
