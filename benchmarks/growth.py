"""`make bench-growth`: what a request costs as the records grow, beside the bare query.

Each case is sent to the service, and as the same query to the store by PyMongo alone: what the
store takes longer is the store's, what remains is the service's. MONGODB_URL as in `make bench`.
"""

import argparse
import base64
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import bson
from bson import ObjectId
from pymongo.collection import Collection

from benchmarks import data
from benchmarks.data import Stored
from benchmarks.endpoints import API, SCRATCH
from benchmarks.load import Client, request, run
from benchmarks.report import table
from benchmarks.services import OURS, Service, service
from benchmarks.store import Store, store
from devtools.console import LauncherError, say
from devtools.processes import launch

PAGE = 50
BATCH = 10_000
NEWEST_FIRST = [("updated_at", -1), ("_id", -1)]
LISTED = f"{API}/connections"


@dataclass(frozen=True)
class Case:
    """A request, how often it is sent, and the same to the store alone."""

    title: str
    wires: list[bytes]
    bare: Callable[[], Any]
    status: int = 200


@dataclass(frozen=True)
class Cost:
    """One case at one size; processor time is the worker's."""

    cpu_ms: float
    p50_ms: float
    bare_p50_ms: float


Costs = dict[str, dict[int, Cost]]
"""By case, then by number of records."""


def main() -> int:
    options = _options()

    def work() -> int:
        print(growth(options.sizes, options.seconds))
        return 0

    return launch(work)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument(
        "--sizes", type=_sizes, default=[100, 10_000, 1_000_000], help="records, by commas"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="that each case lasts")
    return parser.parse_args()


def _sizes(text: str) -> list[int]:
    return sorted(int(part) for part in text.split(","))


def growth(sizes: list[int], seconds: float) -> str:
    """Return the tables, as Markdown. Raises LauncherError where an answer is not as expected."""
    costs: Costs = {}
    streams = []
    with store() as held, tempfile.TemporaryDirectory() as logs:
        collection = held.database["connections"]
        for size in sizes:
            _fill(held, collection, size)
            with service(OURS, held.environment, Path(logs) / "ours") as ours:
                for case in _cases(collection, size):
                    say(f"{size:,} records: {case.title}")
                    costs.setdefault(case.title, {})[size] = _measured(ours, case, seconds)
                collection.delete_many({"name": {"$regex": f"^{SCRATCH}"}})
                streams.append([f"{size:,}", *_streamed(ours, collection, size)])
    return "\n\n".join([_costs(costs, sizes), _streams(streams)])


def _fill(held: Store, collection: Collection[Stored], size: int) -> None:
    token = data.token_of(held.environment["ENCRYPTION_KEY"])
    present = collection.estimated_document_count()
    missing = islice(data.connections(size, token), present, None)
    while batch := list(islice(missing, BATCH)):
        collection.insert_many(batch, ordered=False)
        present += len(batch)
        print(f"\r  {present:,} of {size:,} records stored", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)


def _cases(collection: Collection[Stored], size: int) -> Iterator[Case]:
    def page(condition: Stored, skip: int = 0, order: Any = NEWEST_FIRST) -> Callable[[], Any]:
        return lambda: collection.find(condition, sort=order, skip=skip, limit=PAGE).to_list()

    some = [found["_id"] for found in collection.find({}, {"_id": 1}, limit=100)]
    middle = collection.find_one({"name": f"source {size // 2}"}) or {}
    behind: Stored = {
        "$or": [
            {"updated_at": {"$lt": middle["updated_at"]}},
            {"updated_at": middle["updated_at"], "_id": {"$lt": middle["_id"]}},
        ]
    }
    oldest_first = [(name, -direction) for name, direction in NEWEST_FIRST]
    ids, names = cycle(some), iter(range(10**9))
    yield Case("first page", _same(f"?limit={PAGE}"), page({}))
    yield Case("middle page, by cursor", _same(f"?limit={PAGE}&cursor={_cursor(middle)}"),
               page(behind))  # fmt: skip
    yield Case("last page, by offset", _same(f"?limit={PAGE}&offset={max(size - PAGE, 0)}"),
               page({}, order=oldest_first))  # fmt: skip
    yield Case("by name", _same(f"?limit={PAGE}&name=source%20{size // 2}"),
               page({"name": f"source {size // 2}"}))  # fmt: skip
    yield Case("read one", [request("GET", f"{LISTED}/{each}") for each in some] * 40,
               lambda: collection.find_one({"_id": next(ids)}))  # fmt: skip
    yield Case("create", _creates(),
               lambda: collection.insert_one(_scratch(next(names))), status=201)  # fmt: skip


def _same(query: str) -> list[bytes]:
    return [request("GET", LISTED + query)] * 4000


def _cursor(document: Stored) -> str:
    """Return the cursor behind a record, as the `Link` header of its page would have it."""
    content = {"order": "-updated_at,-_id", "after": [document["updated_at"], document["_id"]]}
    return base64.urlsafe_b64encode(bson.encode(content)).decode().rstrip("=")


def _creates() -> list[bytes]:
    return [
        request("POST", LISTED, data.connection_body(number, SCRATCH)) for number in range(4000)
    ]


def _scratch(number: int) -> Stored:
    return {**data.connection(number, "", f"{SCRATCH} bare"), "_id": ObjectId()}


def _measured(ours: Service, case: Case, seconds: float) -> Cost:
    run(ours.port, case.wires[:5], case.status, 1, seconds / 4)
    before = ours.cpu_s()
    sample = run(ours.port, case.wires[5:], case.status, 1, seconds)
    cpu_s = ours.cpu_s() - before
    if sample.unexpected:
        raise LauncherError(
            f"{case.title}: {sample.unexpected.status} {sample.unexpected.body[:300]!r}"
        )
    bare = _timed(case.bare, seconds / 2)
    return Cost(cpu_s * 1000 / len(sample.latencies_s), sample.percentile_ms(0.5), bare)


def _timed(work: Callable[[], Any], seconds: float) -> float:
    """Return the median time of a call, in milliseconds."""
    took: list[float] = []
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(took) < 5:
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return median(took) * 1000


def _streamed(ours: Service, collection: Collection[Stored], size: int) -> list[str]:
    """Return what reading the whole list shows: its first byte, its end, the worker's memory."""
    say(f"{size:,} records: the whole list")

    def first_batch() -> None:
        next(iter(collection.find({}, sort=NEWEST_FIRST, batch_size=500)))

    bare_ms = _timed(first_batch, 1.0)
    before = ours.resident_mib()
    with Client(ours.port) as client:
        client.send(request("GET", f"{LISTED}?limit=500"))  # as every measured request has had
    started = time.perf_counter()
    with Client(ours.port) as client:
        answer = client.send(request("GET", LISTED))
    elapsed_s = time.perf_counter() - started
    if answer.status != 200 or answer.body.count(b'"id":') != size:
        raise LauncherError(f"The whole list is not {size:,} records: {answer.status}")
    return [
        f"{answer.first_byte_s * 1000:.0f}",
        f"{bare_ms:.0f}",
        f"{elapsed_s:.1f}",
        f"{len(answer.body) / 2**20:.0f}",
        f"{before:.0f}",
        f"{ours.resident_mib():.0f}",
    ]


def _costs(costs: Costs, sizes: list[int]) -> str:
    head = ["request", *(f"CPU ms of {size:,}" for size in sizes), "growth"]
    head += [f"ms of {size:,}, service : bare" for size in sizes]
    rows = [
        [
            title,
            *(f"{by_size[size].cpu_ms:.2f}" for size in sizes),
            f"{by_size[sizes[-1]].cpu_ms / by_size[sizes[0]].cpu_ms:.2f}",
            *(f"{by_size[size].p50_ms:.1f} : {by_size[size].bare_p50_ms:.1f}" for size in sizes),
        ]
        for title, by_size in costs.items()
    ]
    return table(head, rows)


def _streams(rows: list[list[str]]) -> str:
    head = ["the whole list of", "first byte, ms", "bare first batch, ms", "s", "MiB",
            "worker's memory before, MiB", "after, MiB"]  # fmt: skip
    return table(head, rows)


if __name__ == "__main__":
    sys.exit(main())
