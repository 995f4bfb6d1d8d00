"""The abstract model under every record: documents in and out, and writes that never lose one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self, cast

from bson import ObjectId
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, models
from pymongo.errors import DuplicateKeyError

from common.documents import in_use, names, store, trail, writes
from common.documents.codecs import record_codec, reference_to
from common.documents.store import Stored
from common.documents.writes import Change
from common.exceptions import DuplicateName, InUse

RuleErrors = dict[str, ValidationError]
"""What is wrong by field name; a path such as `columns.2.name` goes deeper."""

Held = tuple["type[Document]", ObjectId]
"""A record, by its model and id, that a transaction holds."""


class Document(models.Model):
    """A record kept as one document, written by condition.

    `save()` inserts a new record, or sets the changed fields of a loaded one, and only if the
    stored document is still the one that was loaded: two writers never undo each other, and
    fields that only other programs know stay as they are.
    """

    created_at = models.DateTimeField(editable=False, null=True)
    updated_at = models.DateTimeField(editable=False, null=True)

    kept: ClassVar[frozenset[str]] = frozenset()
    """Columns that the service keeps itself: they are no change, see `writes`."""

    set_name: ClassVar[str] = ""
    """What a trail calls the set of these that hangs on another record."""

    _stored: Stored | None = None
    """The document this record was loaded from; the condition of the next write."""

    _loaded: Stored = {}
    """What was made of it: the next write sets what differs, and leaves the rest as it is."""

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(getattr(self, "name", self.pk))

    # --- Documents in and out ---------------------------------------------------------------------

    @classmethod
    def from_document(cls, document: Stored) -> Self:
        """Return the record of a stored document; what it lacks, or garbles, has its default."""
        record = cast("Self", record_codec(cls).read(document))
        record._state.db = DEFAULT_DB_ALIAS
        record.is_now(document)
        return record

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """Return a record that the ORM loaded: of its fields, as it knows no others."""
        loaded = super().from_db(*args, **kwargs)
        return cls.from_document(record_codec(cls).store(loaded))

    def to_document(self) -> Stored:
        """Return the record as it is stored, `_id` left out while it has none."""
        return record_codec(type(self)).store(self)

    @property
    def document(self) -> Stored:
        """Return the stored document that this record was loaded from or written as."""
        return self._stored or {}

    @property
    def is_stored(self) -> bool:
        return self._stored is not None

    def is_now(self, document: Stored) -> None:
        """Note that the record is stored as `document`."""
        self._stored = document
        self._loaded = self.to_document()
        self._state.adding = False

    # --- Rules ------------------------------------------------------------------------------------

    def clean(self) -> None:
        """Check the rules that span fields or records. Raises ValidationError, all errors at once.

        A field that is missing or wrong by itself has no say here: its own error is enough.
        """
        super().clean()
        if errors := self.rule_errors():
            raise ValidationError(errors)

    def rule_errors(self) -> RuleErrors:
        """Return what is wrong with the values that change; what is stored already may stay."""
        return dict([*self._name_errors(), *self._key_errors(), *self._reference_errors()])

    def has_changed(self, *columns: str) -> bool:
        """Tell whether the next write changes one of these; all of a new record is a change."""
        stored_as = record_codec(type(self)).stored_as
        return any(stored_as(self, column) != self._loaded.get(column) for column in columns)

    def _name_errors(self) -> Iterator[tuple[str, ValidationError]]:
        name = getattr(self, "name", None)
        if name and isinstance(name, str) and self.has_changed("name"):
            self.name = names.normalized(name)
            if problem := names.problem(self.name):
                yield "name", ValidationError(problem, code="invalid")

    def _key_errors(self) -> Iterator[tuple[str, ValidationError]]:
        """Yield the fields that are no secrets, and hold one."""
        for field in self._meta.concrete_fields:
            value = getattr(self, field.attname)
            is_shown = type(field) in (models.CharField, models.TextField)
            holds_one = is_shown and isinstance(value, str) and _has_private_key(value)
            if holds_one and self.has_changed(str(field.column)):
                yield field.name, ValidationError(HOLDS_A_KEY, code="private_key")

    def _reference_errors(self) -> Iterator[tuple[str, ValidationError]]:
        for field in self.changed_references():
            if not exists(target(field), getattr(self, field.attname)):
                noun = target(field)._meta.verbose_name
                said = f"There is no {noun} with this id."
                yield field.name, ValidationError(said, code="unknown_reference")

    def changed_references(self) -> list[models.ForeignKey[Any, Any]]:
        """Return the references that the next write makes anew."""
        return [
            field
            for field in references_of(type(self))
            if getattr(self, field.attname) not in (None, self._loaded.get(str(field.column)))
        ]

    # --- Writes -----------------------------------------------------------------------------------

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the record, or write what changed since it was loaded; nothing where nothing did.

        Raises DuplicateName, ValidationError where a rule that spans records no longer holds, Stale
        where the document changed meanwhile, and NotFound where it is gone.
        """
        change = self.change()
        if change is None:
            return
        held = self.held_by_save()

        def work() -> None:
            for model, identifier in held:
                writes.hold(model, identifier)
            self.confirm()
            writes.apply(change)

        try:
            writes.transaction(work)
        except DuplicateKeyError as clash:
            raise self.duplicate(clash) from clash
        written = change.after or {}
        writes.after_commit(lambda: self.is_now(written))

    def change(self) -> Change | None:
        """Return the change that `save()` writes, None where nothing differs."""
        if self._stored is None:
            return Change(type(self), None, self.document_to_insert())
        made, loaded = self.to_document(), self._loaded
        changed = {column: value for column, value in made.items() if value != loaded.get(column)}
        if not changed:
            return None
        if changed.keys() - self.kept:
            self.updated_at = store.now()
            changed["updated_at"] = self.updated_at.replace(tzinfo=None)
        changed = dict(sorted(changed.items()))
        return Change(type(self), self._stored, {**self._stored, **changed}, self.kept)

    def document_to_insert(self) -> Stored:
        """Return the document to insert for this record: with an id and moments if it is new."""
        self.updated_at = store.now()
        self.created_at = self.created_at if self.is_stored else self.updated_at
        self.pk = self.pk or ObjectId()
        return {**self.document, "_id": self.pk, **self.to_document()}

    def held_by_save(self) -> list[Held]:
        """Return the records that must not go, or change alike, while this one is saved."""
        fields = self.changed_references()
        return [(target(field), getattr(self, field.attname)) for field in fields]

    def confirm(self) -> None:
        """Check once more, inside of the transaction that writes, what depends on other records.

        Raises what refuses the write.
        """
        if errors := dict(self._reference_errors()):
            raise ValidationError(errors)

    def duplicate(self, clash: DuplicateKeyError) -> Exception:
        """Return the refusal that a unique index's error stands for."""
        if "name" in ((clash.details or {}).get("keyPattern") or {}):
            return DuplicateName(verbose_name(type(self)), str(self))
        return clash

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Remove the record, and what goes with it, unless another refers to it.

        In one transaction, in which a reference that is made at the same time is seen, or comes
        second and finds the record gone. Without transactions a crash in the middle leaves what
        goes with a record that is gone; `check_references --mend` removes it.

        Raises InUse naming the users, Stale where the document changed since it was loaded.
        """
        change = Change(type(self), self._stored or {"_id": self.pk}, None, self.kept)

        def work() -> None:
            if self._meta.related_objects or in_use.has_users(type(self)):
                writes.hold(type(self), self.pk)
                self.refuse_if_used()
            gone = self.dependents()
            writes.apply(change, entry=lambda: change.entry(gone))
            self.delete_dependents()

        writes.transaction(work)
        return 1, {self._meta.label: 1}

    def dependents(self) -> dict[str, Any]:
        """Return the records that go with this one, as a trail tells it: `[before, None]`."""
        found = {}
        for model, condition in self._dependent():
            documents = store.find(model, condition, sort=[("created_at", 1), ("_id", 1)])
            if gone := [trail.shown(model, document) for document in documents]:
                found[model.set_name or model._meta.db_table] = [gone, None]
        return found

    def delete_dependents(self) -> None:
        """Remove the records that go with this one."""
        for model, condition in self._dependent():
            store.collection(model).delete_many(condition, session=store.mongodb.session)

    def _dependent(self) -> Iterator[tuple[type[Document], Stored]]:
        for relation in self._meta.related_objects:
            if relation.on_delete is models.CASCADE:
                yield target(relation), {str(relation.field.column): reference_to(self.pk)}

    def refuse_if_used(self) -> None:
        """Raise InUse where other records refer to this one, or use it in another way."""
        this = f'The {verbose_name(type(self))} "{self._known_name()}"'
        for relation in self._meta.related_objects:
            if relation.on_delete is not models.PROTECT:
                continue
            names, total = users_of(relation, self.pk)
            if total:
                noun = target(relation)._meta.verbose_name
                raise InUse(this, str(noun), names, total)
        for word, names, total in in_use.users(type(self), self.pk):
            raise InUse(this, word, names, total)

    def _known_name(self) -> str:
        if self._stored:
            return str(self)
        found = store.find_one(type(self), {"_id": self.pk}, {"name": 1}) or {}
        return str(found.get("name", self.pk))


HOLDS_A_KEY = "This holds a private key, and is shown to everyone: give it in a secret field."


def _has_private_key(text: str) -> bool:
    return "-----BEGIN" in text and "PRIVATE KEY-----" in text


def page_index(name: str, *filters: str) -> models.Index:
    """Return the index of a list, newest change first, within records that share `filters`."""
    return models.Index(fields=[*filters, "-updated_at", "-id"], name=name)


def verbose_name(model: type[models.Model]) -> str:
    return str(model._meta.verbose_name)


def target(relation: Any) -> type[Document]:
    """Return the model at the other end of a relation: here they are all of documents."""
    return cast("type[Document]", relation.related_model)


def references_of(model: type[models.Model]) -> list[models.ForeignKey[Any, Any]]:
    fields = model._meta.concrete_fields
    return [field for field in fields if isinstance(field, models.ForeignKey)]


def field_of(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    """Return a field by its own name, or by the one it is stored as. Raises FieldDoesNotExist."""
    return cast("models.Field[Any, Any]", model._meta.get_field(name))


def exists(model: type[models.Model], identifier: ObjectId) -> bool:
    """Tell whether `model` has a record with this id."""
    return store.find_one(model, {"_id": identifier}, {"_id": 1}) is not None


def users_of(relation: Any, identifier: ObjectId, limit: int = 10) -> tuple[list[str], int]:
    """Return up to `limit` names of the records that refer to `identifier`, and how many do."""
    condition = {relation.field.column: reference_to(identifier)}
    found = list(
        store.find(target(relation), condition, {"name": 1}, sort=[("name", 1)], limit=limit + 1)
    )
    total = len(found)
    if total > limit:
        total = store.count(target(relation), condition)
    return [str(one.get("name", one["_id"])) for one in found[:limit]], total
