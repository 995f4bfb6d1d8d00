"""What is measured: each endpoint, its requests and its answer."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice

from bson import ObjectId
from pymongo.database import Database

from benchmarks import data
from benchmarks.data import Stored
from benchmarks.load import Client, request
from benchmarks.services import Service

API = "/api/v1"
MOST = 4_000
"""Requests that one run sends at most."""
SCRATCH = "scratch"
LONG = 5_000
"""Records of the long list; the others are measured on a store that is as small as their answer."""


@dataclass(frozen=True)
class Bench:
    """What requests are made of."""

    database: Database[Stored]
    token: str

    def ids(self, collection: str, count: int) -> list[ObjectId]:
        """Return the ids of the newest records."""
        newest = self.database[collection].find({}, {"_id": 1}, sort=[("updated_at", -1)])
        return [document["_id"] for document in newest.limit(count)]

    def clean(self) -> None:
        self.database["connections"].delete_many({"name": {"$regex": f"^{SCRATCH}"}})


Requests = Callable[[Bench, Service], list[bytes]]


@dataclass(frozen=True)
class Endpoint:
    key: str
    title: str
    status: int
    requests: Requests
    clean: bool = False


def same(wire: bytes) -> list[bytes]:
    return [wire] * MOST


def list_of_50(bench: Bench, service: Service) -> list[bytes]:
    return same(request("GET", f"{API}/connections?limit=50"))


def list_of_all(bench: Bench, service: Service) -> list[bytes]:
    missing = LONG - bench.database["connections"].estimated_document_count()
    if missing > 0:
        documents = data.connections(missing, bench.token, SCRATCH)
        bench.database["connections"].insert_many(documents)
    return same(request("GET", f"{API}/connections"))


def read_one(bench: Bench, service: Service) -> list[bytes]:
    paths = [f"{API}/connections/{each}" for each in bench.ids("connections", 100)]
    return [request("GET", path) for path in islice(cycle(paths), MOST)]


def create(bench: Bench, service: Service) -> list[bytes]:
    return [
        request("POST", f"{API}/connections", data.connection_body(number, SCRATCH))
        for number in range(MOST)
    ]


def update(bench: Bench, service: Service) -> list[bytes]:
    """Records are read, changed and sent back whole, as the frontend does."""
    bench.database["connections"].insert_many(data.connections(100, bench.token, SCRATCH))
    ids = bench.database["connections"].find({"name": {"$regex": f"^{SCRATCH}"}}, {"_id": 1})
    paths = [f"{API}/connections/{document['_id']}" for document in ids]
    with Client(service.port) as client:
        records = [client.send(request("GET", path)).json() for path in paths]
    pairs = islice(cycle(zip(paths, records, strict=True)), MOST)
    return [
        request("PUT", path, {**record, "database": f"warehouse_{number}"})
        for number, (path, record) in enumerate(pairs)
    ]


def delete(bench: Bench, service: Service) -> list[bytes]:
    documents = list(data.connections(MOST // 2, bench.token, SCRATCH))
    bench.database["connections"].insert_many(documents)
    return [request("DELETE", f"{API}/connections/{each['_id']}") for each in documents]


def replace_rules(bench: Bench, service: Service) -> list[bytes]:
    paths = [f"{API}/mappings/{each}/column-mappings" for each in bench.ids("mappings", 100)]
    body = data.rules()
    return [request("PUT", path, body) for path in islice(cycle(paths), MOST)]


ENDPOINTS = [
    Endpoint("list50", "list of 50", 200, list_of_50),
    Endpoint("list5000", "list of 5,000", 200, list_of_all, clean=True),
    Endpoint("read", "read one", 200, read_one),
    Endpoint("create", "create", 201, create, clean=True),
    Endpoint("update", "update", 200, update, clean=True),
    Endpoint("delete", "delete", 204, delete, clean=True),
    Endpoint("rules", "20 rules replaced", 200, replace_rules),
]
