"""The demo's records: a small shop to try everything on, and as many more as a load test takes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import unquote, urlsplit

from bson import ObjectId
from django.conf import settings
from pymongo.errors import BulkWriteError

from common.documents import store, trail, writes
from common.documents.models import Document, references_of, target, verbose_name
from common.documents.references import identifier_of
from common.documents.store import Stored
from common.documents.trail import Action, Entry
from common.exceptions import Conflict
from connections.models import Connection, TestStatus
from mappings.models import ColumnMapping, Mapping, RuleConfig
from portability import kinds, text
from portability.apply import apply
from portability.plan import Plan, plan
from portability.text import Problems
from schedules.models import Schedule
from schemas.models import Column, Schema

NAMES: dict[type[Document], str] = {
    Schedule: "Demo nightly import",
    Mapping: "Demo shop customers",
    Schema: "Demo customers",
    Connection: "Demo shop",
}
"""In the order in which they can be deleted."""

DEFAULT_SOURCE = "postgresql://shop_reader@localhost:54320/shop"

LOAD = "Load test"
LOAD_NAMES = f"^{LOAD} [0-9]{{6,}}$"
BATCH = 1000
DUPLICATE_KEY = 11000

Advance = Callable[[int], None]

COLUMNS = {
    "customer_id": "integer",
    "first_name": "string",
    "last_name": "string",
    "email": "string",
    "address": "string",
    "newsletter": "boolean",
    "registered_at": "timestamp",
}
PASSWORD = f"{settings.SECRET_ENV_PREFIX}DEMO_SHOP_PASSWORD"
QUERY = """\
SELECT id, full_name, email, street, city, country, newsletter, registered_at
  FROM customers
 ORDER BY id"""


# --- The shop -------------------------------------------------------------------------------------


def seed(source_url: str | None) -> Plan:
    """Make the demo's records what they should be; return what was changed.

    Without an address, that of a demo connection which is there already stays.

    Raises CannotBeSeeded, Interfered.
    """
    environment = {PASSWORD: _password(source_url)}
    try:
        changes = plan(_file(source_url), environment, only=NAMES.values())
    except Problems as found:
        raise _refusal(found) from found
    apply(changes)
    return changes


class CannotBeSeeded(Conflict):
    """What is stored, or the address that was given, does not allow the demo's records."""


def _refusal(found: Problems) -> CannotBeSeeded:
    if any(problem.path.endswith(", password") for problem in found.problems):
        return CannotBeSeeded(
            f'The connection "{NAMES[Connection]}" needs the password of this place: give it in '
            "the address, postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
        )
    said = " ".join(f"{problem.path}: {problem.message}" for problem in found.problems)
    return CannotBeSeeded(f"The demo's records cannot be made as they should be. {said}")


def _file(source_url: str | None) -> str:
    out = io.StringIO()
    text.write(
        {
            "version": kinds.VERSION,
            "connections": {NAMES[Connection]: _connection(source_url)},
            "schemas": {
                NAMES[Schema]: {"description": "Customers of the demo shop.", "columns": _columns()}
            },
            "mappings": {NAMES[Mapping]: _mapping()},
            "schedules": {
                NAMES[Schedule]: {
                    "mapping": NAMES[Mapping],
                    "cron_expression": "30 2 * * *",
                    "timezone": "Europe/Berlin",
                }
            },
        },
        out,
    )
    return out.getvalue()


def _columns() -> list[dict[str, str]]:
    return [{"name": name, "data_type": data_type} for name, data_type in COLUMNS.items()]


def _connection(source_url: str | None) -> dict[str, Any]:
    held = _held_connection()
    secret = {"password": f"${{{PASSWORD}}}"}
    if held and source_url is None:
        kept = ("db_type", "host", "port", "database", "username", "ssl_mode")
        return {name: held[name] for name in kept if held.get(name) is not None} | secret
    address = urlsplit(source_url or DEFAULT_SOURCE)
    return {
        "db_type": "postgresql",
        "host": address.hostname,
        "port": address.port or 5432,
        "database": address.path.lstrip("/"),
        "username": unquote(address.username or ""),
        **secret,
    }


def _password(source_url: str | None) -> str:
    """Return the password to store: none where the stored one should stay."""
    if source_url is not None:
        return unquote(urlsplit(source_url).password or "")
    return "" if _held_connection() else "shop"


def _held_connection() -> Stored | None:
    return store.collection(Connection).find_one({"name": NAMES[Connection]})


def _mapping() -> dict[str, Any]:
    return {
        "description": "Names are split, addresses joined, the rest goes over as it is.",
        "source_connection": NAMES[Connection],
        "source_query": QUERY,
        "target_schema": NAMES[Schema],
        "column_mappings": [
            _rule("direct", ["id"], ["customer_id"]),
            _rule("split", ["full_name"], ["first_name", "last_name"], delimiter=" "),
            _rule("direct", ["email"], ["email"]),
            _rule("join", ["street", "city", "country"], ["address"], separator=", "),
            _rule("direct", ["newsletter"], ["newsletter"]),
            _rule("direct", ["registered_at"], ["registered_at"]),
        ],
    }


def _rule(kind: str, sources: list[str], targets: list[str], **config: str) -> dict[str, Any]:
    rule = {"type": kind, "source_columns": sources, "target_fields": targets}
    return rule | {"config": config} if config else rule


def used_by_others() -> Iterator[str]:
    """Yield a sentence for each record of the demo, or of load tests, that another one uses."""
    for user in NAMES:
        for field in references_of(user):
            column, model = str(field.column), target(field)
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
    return [{"name": NAMES[model]}, {"name": {"$regex": LOAD_NAMES}}]


def _names_of_ours(
    model: type[Document], identifiers: set[ObjectId | None]
) -> dict[ObjectId | None, str]:
    condition = {"_id": {"$in": [*identifiers]}, "$or": _is_ours(model)}
    with store.command_timeout():
        return {one["_id"]: one["name"] for one in store.find(model, condition, {"name": 1})}


def remove(advance: Advance) -> int:
    """Delete the demo's records and those of load tests; return how many there were.

    Ask `used_by_others` first. Raises InUse where others have come to use the demo's since.
    """
    removed = _remove_load(advance)
    for model, name in NAMES.items():
        if document := store.collection(model).find_one({"name": name}):
            model.from_document(document).delete()
            removed += 1
    return removed


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
        try:
            return len(store.collection(model).insert_many(documents, ordered=False).inserted_ids)
        except BulkWriteError as failure:
            details = failure.details or {}
            if {error.get("code") for error in details.get("writeErrors", [])} != {DUPLICATE_KEY}:
                raise
            return int(details.get("nInserted", 0))


def _tell(action: Action, model: type[Document], records: list[int]) -> None:
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
