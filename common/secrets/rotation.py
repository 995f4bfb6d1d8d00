"""Rotation of the encryption key: every stored secret comes under the first key.

Each document is written by compare-and-set on the very tokens that were read, so that a secret
changed meanwhile is left alone and looked at again. Nothing is kept of how far a rotation came: a
token already under the first key is skipped, so one that was killed goes on when started again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.conf import settings
from django.db import models
from pymongo.errors import AutoReconnect, BulkWriteError, CursorNotFound

from common.documents import store, writes
from common.documents.store import Stored
from common.secrets import keys as crypto
from common.secrets.fields import EncryptedTextField

BATCH = 200
"""Secrets written at a time: few enough that the service's own requests pass between."""

MAX_PASSES = 5
MAX_LOSSES = 5

FIRST_KEY = 0
Advance = Callable[[int], None]
Swap = tuple[Stored, Stored]
"""The condition that a token is still the one that was read, and what takes its place."""


@dataclass(frozen=True)
class Unreadable:
    """A stored secret that no configured key opens."""

    collection: str
    name: str
    id: str
    field: str

    def __str__(self) -> str:
        return f'{self.collection} "{self.name}" ({self.id}): {self.field}'


@dataclass
class Report:
    """What a pass over every secret found and did.

    `by_key` counts readable secrets as they were found: 0 is ENCRYPTION_KEY, 1 the first of
    ENCRYPTION_KEYS_RETIRED. `due` are those not stored as a plain token of the first key;
    `rotated` of them were written, the others had changed meanwhile.
    """

    by_key: Counter[int] = field(default_factory=Counter)
    due: int = 0
    wrapped: int = 0
    rotated: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)

    @property
    def secrets(self) -> int:
        return self.by_key.total() + len(self.unreadable)

    @property
    def old_keys_can_go(self) -> bool:
        return not self.unreadable and self.by_key.total() == self.by_key[FIRST_KEY]


@dataclass(frozen=True)
class Examined:
    """A readable token: the number of the key that opens it, and what should be stored instead."""

    key: int
    wrapped: bool
    replacement: str | None


class Keys:
    """The configured keys, first one first."""

    def __init__(self) -> None:
        crypto.cipher()  # Raises ImproperlyConfigured, in words.
        self.fernets = [
            Fernet(key) for key in (settings.ENCRYPTION_KEY, *settings.ENCRYPTION_KEYS_RETIRED)
        ]

    def examine(self, stored: object) -> Examined | None:
        """Return what a stored token is, None where no key opens it."""
        if not isinstance(stored, str | bytes):
            return None
        text = stored.decode("ascii", "replace") if isinstance(stored, bytes) else stored
        token = crypto.unwrapped(text)
        for number, fernet in enumerate(self.fernets):
            try:
                plain = fernet.decrypt(token)
                plain.decode()
            except (InvalidToken, UnicodeDecodeError):
                continue
            wrapped = token != text.encode()
            if number == FIRST_KEY and stored == token.decode("ascii"):
                return Examined(number, wrapped, None)
            return Examined(number, wrapped, self._under_first(number, token, plain))
        return None

    def _under_first(self, number: int, token: bytes, plain: bytes) -> str:
        renewed = token if number == FIRST_KEY else self.fernets[FIRST_KEY].encrypt(plain)
        return renewed.decode("ascii")


@dataclass(frozen=True)
class SecretFields:
    """The columns of one model's collection that hold secrets."""

    model: type[models.Model]
    columns: tuple[str, ...]

    def documents(self, after: Any = None) -> Iterator[Stored]:
        """Yield the secrets of each document that has some, by `_id`."""
        condition: Stored = {"$or": [{column: {"$ne": None}} for column in self.columns]}
        if after is not None:
            condition["_id"] = {"$gt": after}
        projection = dict.fromkeys([*self.columns, "name"], 1)
        return store.find(self.model, condition, projection, sort=[("_id", 1)], batch_size=BATCH)

    def secrets(self, document: Stored) -> Iterator[tuple[str, object]]:
        for column in self.columns:
            if document.get(column) is not None:
                yield column, document[column]


def secret_fields() -> list[SecretFields]:
    """Return where every model keeps secrets; the next `EncryptedTextField` joins by itself."""
    columns: dict[type[models.Model], list[str]] = {
        model: [
            str(found.column)
            for found in model._meta.local_concrete_fields
            if isinstance(found, EncryptedTextField)
        ]
        for model in apps.get_models()
    }
    return [SecretFields(model, tuple(found)) for model, found in columns.items() if found]


def count_documents() -> int:
    return sum(store.count(fields.model, {}) for fields in secret_fields())


def look(keys: Keys, advance: Advance, *, write: bool) -> Report:
    """Return what one pass over every secret found, and brought under the first key if `write`."""
    report = Report()
    for fields in secret_fields():
        _pass_over(fields, keys, report, advance, write=write)
    return report


def rotate(keys: Keys, advance: Advance) -> tuple[Report, Report]:
    """Bring every secret under the first key; return the sum of all passes, and the last one.

    Passes follow each other until one finds nothing to do: processes that still run with the old
    configuration write under the old key behind our back. After `MAX_PASSES` the last report
    still has secrets that are due.
    """
    total = last = look(keys, advance, write=True)
    for _ in range(MAX_PASSES - 1):
        if not last.due:
            break
        last = look(keys, advance, write=True)
        total = _with_more(total, last)
    return total, last


def _with_more(total: Report, last: Report) -> Report:
    return Report(
        total.by_key,
        total.due,
        total.wrapped + last.wrapped,
        total.rotated + last.rotated,
        last.unreadable,
    )


def _pass_over(
    fields: SecretFields, keys: Keys, report: Report, advance: Advance, *, write: bool
) -> None:
    # The store writes one batch while the next is decrypted and encrypted.
    with ThreadPoolExecutor(1) as writer:
        writing: Future[int] | None = None
        for batch in _batches(fields):
            changes = [due for document in batch for due in _due(fields, keys, document, report)]
            if changes and write:
                report.rotated += writing.result() if writing else 0
                writing = writer.submit(_written, fields.model, changes)
            advance(len(batch))
        report.rotated += writing.result() if writing else 0


def _batches(fields: SecretFields) -> Iterator[list[Stored]]:
    """Yield every document once, by `_id`; a cursor that the store loses is opened anew there."""
    last: Any = None
    losses = 0
    documents = fields.documents()
    while True:
        try:
            with store.command_timeout():
                batch = list(islice(documents, BATCH))
        except (CursorNotFound, AutoReconnect):
            losses += 1
            if losses > MAX_LOSSES:
                raise
            documents = fields.documents(after=last)
            continue
        if not batch:
            return
        yield batch
        last = batch[-1]["_id"]


def _due(fields: SecretFields, keys: Keys, document: Stored, report: Report) -> Iterator[Swap]:
    """Yield the compare-and-sets that a document needs, and count what it holds."""
    for column, stored in fields.secrets(document):
        found = keys.examine(stored)
        if found is None:
            report.unreadable.append(_named(fields, document, column))
            continue
        report.by_key[found.key] += 1
        report.wrapped += found.wrapped
        if found.replacement is not None:
            report.due += 1
            unchanged = {"_id": document["_id"], column: stored}
            yield unchanged, {column: found.replacement}


def _named(fields: SecretFields, document: Stored, column: str) -> Unreadable:
    name = str(document.get("name", ""))
    return Unreadable(fields.model._meta.db_table, name, str(document["_id"]), column)


def _written(model: type[models.Model], changes: list[Swap]) -> int:
    with store.command_timeout():
        try:
            return writes.keep_many(model, changes)
        except BulkWriteError as failure:
            # What the store refused is still due: the next pass tries it again, and counts it.
            return int((failure.details or {}).get("nModified", 0))
