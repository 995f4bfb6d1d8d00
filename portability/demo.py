"""The demo's records: a small shop to try everything on, and as many more as a load test takes."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import unquote, urlsplit

from bson import ObjectId

from common.demo import CONNECTION, IDS, PASSWORD, place
from common.documents import store, trail, writes
from common.documents.models import Document, exists, references_of, target, verbose_name
from common.documents.references import identifier_of
from common.documents.store import Stored
from common.documents.trail import Entry
from common.exceptions import Conflict
from connections.models import Connection, TestStatus
from mappings import rules
from mappings.models import ColumnMapping, Mapping, RuleConfig
from mappings.source import ASK_S
from mappings.verify import verify
from portability import kinds, text
from portability.apply import apply
from portability.plan import Action, plan
from portability.text import Problems
from runs import starting
from runs.life import LIVE
from runs.models import Run
from runs.starting import RunEnded
from schedules.models import Schedule
from schemas.models import Column, Schema

NAMES: dict[type[Document], tuple[str, ...]] = {
    model: tuple(IDS[model._meta.db_table]) for model in (Schedule, Mapping, Schema, Connection)
}
"""In the order in which they can be deleted."""

NIGHTLY, HALF_HOURLY = NAMES[Schedule]
CUSTOMERS, ORDERS, WRONG = NAMES[Mapping]
RUNS = {CUSTOMERS: 2, ORDERS: 2, WRONG: 1}
"""How many runs the history of each mapping begins with."""
END_S = 15.0
"""How long runs of the demo's mappings may take to stop before they are deleted."""

LOAD = "Load test"
LOAD_NAMES = f"^{LOAD} [0-9]{{6,}}$"
BATCH = 1000

Advance = Callable[[int], None]

COLUMNS = {
    "customer_id": "integer",
    "first_name": "string",
    "last_name": "string",
    "email": "string",
    "address": "string",
    "newsletter": "boolean",
    "registered_at": "timestamp",
    "city": "string",
}
SCHEMAS: dict[str, tuple[str, dict[str, str]]] = {
    "Demo customers": ("Customers of the demo shop.", COLUMNS),
    "Demo orders": (
        "Orders of the demo shop, with what they come to.",
        {
            "order_id": "integer",
            "ordered_on": "date",
            "status": "string",
            "customer": "string",
            "total": "float",
        },
    ),
    "Demo products": (
        "Products of the demo shop.",
        {"product_id": "integer", "name": "string", "weight_kg": "float", "expensive": "float"},
    ),
}
QUERY = """\
SELECT id, full_name, email, street, city, country, newsletter, registered_at
  FROM customers
 ORDER BY id"""
ORDERS_QUERY = """\
SELECT o.id, o.ordered_on, o.status, c.full_name, c.country, sum(i.quantity * p.price) AS total
  FROM orders o
  JOIN customers c ON c.id = o.customer_id
  JOIN order_items i ON i.order_id = o.id
  JOIN products p ON p.id = i.product_id
 GROUP BY o.id, c.id"""
WRONG_QUERY = "SELECT id, name, weight_kg, price > 100 AS expensive FROM products"


# --- The shop -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seeded:
    """How many of the demo's records were made, mended, and right already."""

    created: int
    changed: int
    unchanged: int


def seed(source_url: str | None) -> Seeded:
    """Make the demo's records what they should be; return what was done.

    Without an address, that of a demo connection which is there already stays.

    Raises CannotBeSeeded, Interfered.
    """
    environment = {PASSWORD: _password(source_url)}
    only = [name for names in NAMES.values() for name in names]
    try:
        changes = plan(_file(source_url), environment, only=only, ids=_free_ids())
    except Problems as found:
        raise _refusal(found) from found
    apply(changes)
    wrong = _store_wrong()
    return Seeded(
        changes.count(Action.CREATE) + wrong,
        changes.count(Action.CHANGE),
        changes.unchanged + (not wrong),
    )


class CannotBeSeeded(Conflict):
    """What is stored, or the address that was given, does not allow the demo's records."""


def _refusal(found: Problems) -> CannotBeSeeded:
    if any(problem.path.endswith(", password") for problem in found.problems):
        return CannotBeSeeded(
            f'The connection "{CONNECTION}" needs the password of this place: give it in '
            "the address, postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
        )
    said = " ".join(f"{problem.path}: {problem.message}" for problem in found.problems)
    return CannotBeSeeded(f"The demo's records cannot be made as they should be. {said}")


def _free_ids() -> dict[tuple[str, str], ObjectId]:
    """Return the ids that the documentation knows, where no other record has them."""
    return {
        (model._meta.db_table, name): identifier
        for model in NAMES
        for name, identifier in IDS[model._meta.db_table].items()
        if not exists(model, identifier)
    }


def _file(source_url: str | None) -> str:
    out = io.StringIO()
    text.write(
        {
            "version": kinds.VERSION,
            "connections": {CONNECTION: _connection(source_url)},
            "schemas": {name: _schema(*said) for name, said in SCHEMAS.items()},
            "mappings": {CUSTOMERS: _customers(), ORDERS: _orders()},
            "schedules": {
                NIGHTLY: {
                    "mapping": CUSTOMERS,
                    "cron_expression": "30 2 * * *",
                    "timezone": "Europe/Berlin",
                },
                HALF_HOURLY: {"mapping": ORDERS, "cron_expression": "*/30 * * * *"},
            },
        },
        out,
    )
    return out.getvalue()


def _schema(description: str, columns: dict[str, str]) -> dict[str, Any]:
    listed = [{"name": name, "data_type": data_type} for name, data_type in columns.items()]
    return {"description": description, "columns": listed}


def _connection(source_url: str | None) -> dict[str, Any]:
    held = _held_connection()
    secret = {"password": f"${{{PASSWORD}}}"}
    if held and source_url is None:
        kept = ("db_type", "host", "port", "database", "username", "ssl_mode")
        return {name: held[name] for name in kept if held.get(name) is not None} | secret
    return place(source_url) | secret


def _password(source_url: str | None) -> str:
    """Return the password to store: none where the stored one should stay."""
    if source_url is not None:
        return unquote(urlsplit(source_url).password or "")
    return "" if _held_connection() else "shop"


def _held_connection() -> Stored | None:
    return store.collection(Connection).find_one({"name": CONNECTION})


def _customers() -> dict[str, Any]:
    return {
        "description": "Names are split, addresses joined, the rest goes over as it is. Each run "
        "overwrites the customers that it knows by their id.",
        "source_connection": CONNECTION,
        "source_query": QUERY,
        "target_schema": "Demo customers",
        "write_mode": "upsert",
        "key_fields": ["customer_id"],
        "column_mappings": [
            _rule("direct", ["id"], ["customer_id"]),
            _rule("split", ["full_name"], ["first_name", "last_name"], delimiter=" "),
            _rule("direct", ["email"], ["email"]),
            _rule("join", ["street", "city", "country"], ["address"], separator=", "),
            _rule("direct", ["newsletter"], ["newsletter"]),
            _rule("direct", ["registered_at"], ["registered_at"]),
        ],
    }


def _orders() -> dict[str, Any]:
    return {
        "description": "What the shop sold, from four tables. A run reads the orders that are "
        "newer than those of the last one.",
        "source_connection": CONNECTION,
        "source_query": ORDERS_QUERY,
        "target_schema": "Demo orders",
        "cursor_column": "id",
        "column_mappings": [
            _rule("direct", ["id"], ["order_id"]),
            _rule("direct", ["ordered_on"], ["ordered_on"]),
            _rule("direct", ["status"], ["status"]),
            _rule("join", ["full_name", "country"], ["customer"], separator=", "),
            _rule("direct", ["total"], ["total"]),
        ],
    }


def _store_wrong() -> bool:
    """Have the mapping that cannot run, and tell whether it is new; one that is there stays.

    It is stored as a program does that asks nobody: a save over the API, in the admin or from a
    file is refused. Its verification says why.
    """
    collection = store.collection
    if collection(Mapping).find_one({"name": WRONG}, {"_id": 1}):
        return False
    schema = collection(Schema).find_one({"name": "Demo products"}) or {}
    mapping = Mapping(
        pk=_free_ids().get((Mapping._meta.db_table, WRONG), ObjectId()),
        name=WRONG,
        description="One rule reads a column that the query does not return, another makes a "
        "number of a truth. Mend the rule, and have the query say (price > 100)::int AS "
        "expensive; then it runs.",
        source_connection_id=(_held_connection() or {}).get("_id"),
        source_query=WRONG_QUERY,
        target_schema_id=schema.get("_id"),
        target_table="Demo_products",
    )
    wrong = [
        _rule("direct", ["id"], ["product_id"]),
        _rule("direct", ["name"], ["name"]),
        _rule("direct", ["weight"], ["weight_kg"]),
        _rule("direct", ["expensive"], ["expensive"]),
    ]

    def work() -> None:
        mapping.save()
        rules.add(mapping.pk, [ColumnMapping(mapping_id=mapping.pk, **rule) for rule in wrong])

    writes.transaction(work)
    verify(mapping.pk, ASK_S)
    return True


def _rule(kind: str, sources: list[str], targets: list[str], **config: str) -> dict[str, Any]:
    rule = {"type": kind, "source_columns": sources, "target_fields": targets}
    return rule | {"config": config} if config else rule


def start_runs() -> int:
    """Queue the first runs of the demo's mappings; return how many. What ran before stays so."""
    started = 0
    for name, count in RUNS.items():
        found = store.collection(Mapping).find_one({"name": name}, {"_id": 1})
        if found and not starting.latest(found["_id"], 1):
            for _ in range(count):
                starting.start(found["_id"])
            started += count
    return started


def used_by_others() -> Iterator[str]:
    """Yield a sentence for each record of the demo, or of load tests, that another one uses."""
    for user in NAMES:
        for field in references_of(user):
            column, model = str(field.column), target(field)
            if model not in NAMES:
                continue  # of which this command makes none
            for users in _batches(user, {"$nor": _is_ours(user)}, "name", column):
                names = _names_of_ours(model, {identifier_of(one.get(column)) for one in users})
                for one in users:
                    if name := names.get(identifier_of(one.get(column))):
                        yield (
                            f'The {verbose_name(model)} "{name}" is in use by the '
                            f'{verbose_name(user)} "{one.get("name")}".'
                        )


def _is_ours(model: type[Document]) -> list[Stored]:
    """Return the conditions of which a record fulfils one that this command made."""
    return [{"name": {"$in": [*NAMES[model]]}}, {"name": {"$regex": LOAD_NAMES}}]


def _names_of_ours(
    model: type[Document], identifiers: set[ObjectId | None]
) -> dict[ObjectId | None, str]:
    condition = {"_id": {"$in": [*identifiers]}, "$or": _is_ours(model)}
    with store.command_timeout():
        return {one["_id"]: one["name"] for one in store.find(model, condition, {"name": 1})}


def remove(advance: Advance) -> int:
    """Delete the demo's records and those of load tests; return how many there were.

    Runs of the demo's mappings are cancelled, and what they wrote stays where it is.
    Ask `used_by_others` first. Raises InUse where others have come to use the demo's since.
    """
    removed = _remove_load(advance)
    for model, names in NAMES.items():
        for document in list(store.collection(model).find({"name": {"$in": [*names]}})):
            if model is Mapping:
                _end_runs(document["_id"])
            model.from_document(document).delete()
            removed += 1
    return removed


def _end_runs(mapping_id: ObjectId) -> None:
    """Cancel what is queued or running for a mapping, and wait until a worker has let go of it."""
    live = {"mapping_id": mapping_id, "status": {"$in": list(LIVE)}}
    for run in list(store.find(Run, live, {"_id": 1})):
        with suppress(RunEnded):
            starting.cancel(run["_id"])
    until = time.monotonic() + END_S
    while store.count(Run, live, limit=1) and time.monotonic() < until:
        time.sleep(0.1)


# --- Records for load tests -----------------------------------------------------------------------


def seed_load(count: int, advance: Advance) -> int:
    """Have `count` load-test records of each kind, and return how many were missing.

    Their ids are made of their numbers, so that a run that was killed is completed by the next.
    """
    inserted = 0
    for start in range(1, count + 1, BATCH):
        numbers = range(start, min(start + BATCH, count + 1))
        for model, records in _load_records(numbers):
            new = _insert_missing(model, records)
            writes.transaction(partial(_tell, "create", model, [0, new]))
            inserted += new
        advance(len(numbers))
    return inserted


def _load_records(numbers: range) -> Iterator[tuple[type[Document], list[Document]]]:
    """Yield the records of each kind, those first that others refer to."""
    yield Connection, [_load_connection(number) for number in numbers]
    yield Schema, [_load_schema(number) for number in numbers]
    # Rules before their mapping: a mapping is never seen without.
    yield ColumnMapping, [rule for number in numbers for rule in _load_rules(number)]
    yield Mapping, [_load_mapping(number) for number in numbers]
    yield Schedule, [_load_schedule(number) for number in numbers]


def _load_id(kind: str, number: int) -> ObjectId:
    return ObjectId(hashlib.sha256(f"{LOAD} {kind} {number}".encode()).digest()[:12])


def _load_name(number: int) -> str:
    return f"{LOAD} {number:06}"


def _load_connection(number: int) -> Connection:
    tested = [TestStatus.SUCCESS, TestStatus.FAILED, None][number % 3]
    return Connection(
        pk=_load_id("connection", number),
        name=_load_name(number),
        db_type=["postgresql", "mysql"][number % 2],
        host=f"db{number % 500}.example.com",
        port=[5432, 3306][number % 2],
        database=f"warehouse_{number % 50}",
        username="etl",
        password=f"load-test-{number}",
        last_test_status=tested,
        last_tested_at=store.now() - timedelta(minutes=number) if tested else None,
    )


def _load_schema(number: int) -> Schema:
    columns = [Column(name=name, data_type=data_type) for name, data_type in COLUMNS.items()]
    return Schema(pk=_load_id("schema", number), name=_load_name(number), columns=columns)


def _load_mapping(number: int) -> Mapping:
    return Mapping(
        pk=_load_id("mapping", number),
        name=_load_name(number),
        source_connection_id=_load_id("connection", number),
        source_query=f"SELECT id, full_name, street, city FROM customers_{number}",  # noqa: S608
        target_schema_id=_load_id("schema", number),
    )


def _load_rules(number: int) -> Iterator[ColumnMapping]:
    rules = (
        ("direct", ["id"], ["customer_id"], RuleConfig()),
        ("split", ["full_name"], ["first_name", "last_name"], RuleConfig(delimiter=" ")),
        ("join", ["street", "city"], ["address"], RuleConfig(separator=", ")),
    )
    for kind, sources, targets, config in rules:
        yield ColumnMapping(
            pk=_load_id(f"{kind} rule", number),
            mapping_id=_load_id("mapping", number),
            type=kind,
            source_columns=sources,
            target_fields=targets,
            config=config,
        )


def _load_schedule(number: int) -> Schedule:
    schedule = Schedule(
        pk=_load_id("schedule", number),
        name=_load_name(number),
        mapping_id=_load_id("mapping", number),
        cron_expression=f"{number % 60} {number // 60 % 24} * * *",
        enabled=number % 4 != 0,
    )
    schedule.next_run_at = schedule.next_runs(1)[0] if schedule.enabled else None
    return schedule


def _insert_missing(model: type[Document], records: list[Document]) -> int:
    documents = [record.document_to_insert() for record in records]
    with store.command_timeout():
        return store.insert_missing(model, documents)


def _tell(action: trail.Action, model: type[Document], records: list[int]) -> None:
    """Tell the trail of a batch as one: so many records, and no more of each."""
    if any(records):
        kind = model._meta.db_table
        trail.note(Entry(action, kind, None, LOAD, {"records": records}))


def _remove_load(advance: Advance) -> int:
    removed = 0
    for model in NAMES:
        for batch in _batches(model, {"name": {"$regex": LOAD_NAMES}}):
            identifiers = [document["_id"] for document in batch]
            removed += writes.transaction(partial(_remove_whole, model, identifiers))
            advance(len(batch))
    return removed


def _remove_whole(model: type[Document], identifiers: list[ObjectId]) -> int:
    """Remove records, mappings with their rules; return how many documents that were."""
    removed = _delete_all(model, {"_id": {"$in": identifiers}})
    _tell("delete", model, [removed, 0])
    if model is Mapping:
        removed += _delete_all(ColumnMapping, {"mapping_id": {"$in": identifiers}})
    return removed


def _batches(model: type[Document], condition: Stored, *fields: str) -> Iterator[list[Stored]]:
    """Yield the ids, and what else is asked for, of all records that meet a condition."""
    projection = dict.fromkeys(["_id", *fields], 1)
    found = iter(store.collection(model).find(condition, projection, batch_size=BATCH))
    while True:
        with store.command_timeout():
            batch = list(islice(found, BATCH))
        if not batch:
            return
        yield batch


def _delete_all(model: type[Document], condition: Stored) -> int:
    with store.command_timeout():
        deleted = store.collection(model).delete_many(condition, session=store.mongodb.session)
        return deleted.deleted_count
