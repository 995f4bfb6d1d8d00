"""The abstract model under every record: documents in and out, and writes that never lose one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

from bson import ObjectId
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, models
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from common.documents import store
from common.documents.codecs import as_stored, attributes, plan, references_of, value_of
from common.documents.store import Stored
from common.exceptions import DuplicateName, InUse, NotFound, Stale

RuleErrors = dict[str, ValidationError]


class Document(models.Model):
    """A record kept as one document, written by condition.

    `save()` inserts a new record, or sets the changed fields of a loaded one, and only if the
    stored document is still the one that was loaded: two writers never undo each other, and
    fields that only other programs know stay as they are.
    """

    created_at = models.DateTimeField(editable=False, null=True)
    updated_at = models.DateTimeField(editable=False, null=True)

    noun: ClassVar[str]

    _stored: Stored | None = None
    """The document this record was loaded from; the condition of the next write."""

    _loaded: Stored = {}
    """What was made of it: the next write sets what differs, and leaves the rest as it is."""

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(getattr(self, "name", self.pk))

    # --- Documents in and out ------------------------------------------------------------------

    @classmethod
    def from_document(cls, document: Stored) -> Self:
        """Return the record of a stored document; what it lacks, or garbles, has its default."""
        record = cls(
            *[
                value
                if type(value := document.get(column)) is expected
                or (value is None and default is None)
                else value_of(field, default, value)
                for column, _, field, expected, default in plan(cls)
            ]
        )
        record._state.db = DEFAULT_DB_ALIAS
        record.stored_as(document)
        return record

    @classmethod
    def made_of(cls, values: Mapping[str, Any]) -> Self:
        """Return a new record with these values, by attribute, and defaults for the rest.

        Raises TypeError for what is no field.
        """
        if unknown := values.keys() - attributes(cls):
            raise TypeError(f"{cls.__name__} has no {', '.join(sorted(unknown))}.")
        return cls(
            *[
                values[attribute] if attribute in values else default() if default else None
                for _, attribute, _, _, default in plan(cls)
            ]
        )

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        record = super().from_db(*args, **kwargs)
        record._stored = record._loaded = as_stored(record)
        record._fill_defaults()
        return record

    def _fill_defaults(self) -> None:
        for field in self._meta.concrete_fields:
            if not field.null and self.__dict__.get(field.attname, self) is None:
                setattr(self, field.attname, field.get_default())

    def to_document(self) -> Stored:
        """Return the record as it is stored, `_id` left out while it has none."""
        return as_stored(self)

    # --- Rules -----------------------------------------------------------------------------------

    def clean(self) -> None:
        """Check the rules that span fields or records. Raises ValidationError, all errors at once.

        A field that is missing or wrong by itself has no say here: its own error is enough.
        """
        super().clean()
        if errors := self.rule_errors():
            raise ValidationError(errors)

    def rule_errors(self) -> RuleErrors:
        """Return what is wrong, by field name; a path such as `columns.2.name` goes deeper."""
        return {
            field.name: ValidationError(
                f"There is no {target(field).noun} with this id.", code="unknown_reference"
            )
            for field in self.changed_references()
            if not exists(target(field), getattr(self, field.attname))
        }

    def changed_references(self) -> list[models.ForeignKey[Any, Any]]:
        """Return the references that the next write makes anew."""
        return [
            field
            for field in references_of(type(self))
            if getattr(self, field.attname) not in (None, self._loaded.get(field.column))
        ]

    # --- Writes ----------------------------------------------------------------------------------

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the record, or write what changed since it was loaded.

        Raises DuplicateName, Stale where the document changed meanwhile, and NotFound where it is
        gone.
        """
        before, references = self._stored, self.changed_references()
        try:
            if before is None:
                self._insert()
            else:
                self._update(before)
        except DuplicateKeyError as clash:
            raise self.duplicate(clash) from clash
        if references:
            self._confirm(references, before)

    def _confirm(
        self, references: list[models.ForeignKey[Any, Any]], before: Stored | None
    ) -> None:
        """Take the write back if a record it refers to was deleted at the same time.

        A delete holds the record's lease while it looks for references: either it saw this one, or
        its lease is seen here. A crash between the write and this look leaves a reference that
        may dangle; the next change of that record says so.
        """
        for field in references:
            if not store.settled(target(field), getattr(self, field.attname)):
                self._take_back(before)
                raise ValidationError(
                    {field.name: f"The {target(field).noun} was deleted meanwhile."}
                )

    def _take_back(self, before: Stored | None) -> None:
        collection, written = store.collection(type(self)), self._stored or {}
        if before is None:
            collection.delete_one(unchanged(written))
            return
        restored = {key: value for key, value in before.items() if written.get(key) != value}
        added = dict.fromkeys(written.keys() - before.keys(), "")
        changes = {"$set": restored} | ({"$unset": added} if added else {})
        collection.update_one(unchanged(written), changes)

    def duplicate(self, clash: DuplicateKeyError) -> Exception:
        """Return the refusal that a unique index's error stands for."""
        if "name" in ((clash.details or {}).get("keyPattern") or {}):
            return DuplicateName(self.noun, self.name)  # type: ignore[attr-defined]
        return clash

    def as_new(self) -> Stored:
        """Return the document to insert for this record, which gets its id and moments now."""
        self.created_at = self.updated_at = store.now()
        self.pk = self.pk or ObjectId()
        return {"_id": self.pk, **self.to_document()}

    def stored_as(self, document: Stored, made: Stored | None = None) -> None:
        """Note that the record is now stored as `document`.

        `made` is what `to_document()` returns, where the caller has just asked for it.
        """
        document.pop(store.LEASE, None)
        self._stored = document
        self._loaded = made or self.to_document()
        self._state.adding = False

    def _insert(self) -> None:
        document = self.as_new()
        store.collection(type(self)).insert_one(document)
        self.stored_as(document, made=document)

    def _update(self, stored: Stored) -> None:
        """Set what changed in the document while it is still `stored`.

        Raises Stale where another writer came first, NotFound where it was deleted.
        """
        self.updated_at = store.now()
        made, loaded = self.to_document(), self._loaded
        changes = {column: value for column, value in made.items() if value != loaded.get(column)}
        # By name, as the store appends the fields that are new: the next read finds this order.
        ordered = dict(sorted(changes.items()))
        condition = unchanged(stored) | store.held(type(self), self.pk)
        written = store.collection(type(self)).update_one(condition, {"$set": ordered})
        if not written.matched_count:
            self._raise_missing()
        # What was there is known, being the condition.
        self.stored_as({**stored, **ordered}, made)

    def _raise_missing(self) -> None:
        if store.collection(type(self)).find_one({"_id": self.pk}, {"_id": 1}):
            raise Stale
        raise NotFound(f"There is no {self.noun} with the id {self.pk}.")

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Remove the record unless another refers to it.

        Under the record's lease, so that a reference made at the same time is either seen here
        or finds the record gone. A crash in the middle leaves the record and a lease that expires.

        Raises InUse naming the users, Stale where the document changed since it was loaded.
        """
        if not self._meta.related_objects:
            self._remove()
            return 1, {self._meta.label: 1}
        with store.lease(type(self), self.pk):
            self.refuse_if_used()
            self._remove()
            store.gone(type(self), self.pk)
        return 1, {self._meta.label: 1}

    def refuse_if_used(self) -> None:
        """Raise InUse where other records refer to this one."""
        for users_noun, names in self.users():
            if names:
                raise InUse(f'The {self.noun} "{self._known_name()}"', users_noun, names)

    def _known_name(self) -> str:
        if self._stored:
            return str(self)
        found = store.collection(type(self)).find_one({"_id": self.pk}, {"name": 1}) or {}
        return str(found.get("name", self.pk))

    def users(self) -> list[tuple[str, list[str]]]:
        """Return the names of the records that refer to this one, by noun."""
        return [
            (target(relation).noun, names_referring(relation, self.pk))
            for relation in self._meta.related_objects
            if relation.on_delete is models.PROTECT
        ]

    def _remove(self, session: ClientSession | None = None) -> None:
        condition = unchanged(self._stored) if self._stored else {"_id": self.pk}
        condition |= store.held(type(self), self.pk)
        removed = store.collection(type(self)).delete_one(condition, session=session)
        if not removed.deleted_count:
            self._raise_missing()


def unchanged(document: Stored) -> Stored:
    """Return the condition that a document's fields are all still what they were.

    A field whose name MongoDB would read as a path or an operator is left out, and so is one that
    was not read as it is stored.
    """
    return {
        key: {"$eq": value}
        for key, value in document.items()
        if "." not in key
        and not key.startswith("$")
        and not (MENDED in value if type(value) is str else _is_mended(value))
    }


MENDED = "\ufffd"
"""What the driver puts into a text that is no UTF-8."""


def _is_mended(value: Any) -> bool:
    """Tell whether a list or a document holds such a text."""
    return type(value) in (list, dict) and MENDED in repr(value)


def page_index(name: str, *filters: str) -> models.Index:
    """Return the index of a list, newest change first, within records that share `filters`."""
    return models.Index(fields=[*filters, "-updated_at", "-id"], name=name)


def target(relation: Any) -> type[Document]:
    """Return the model at the other end of a relation: here they are all of documents."""
    return cast("type[Document]", relation.related_model)


def field_of(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    """Return a field by its own name, or by the one it is stored as. Raises FieldDoesNotExist."""
    return cast("models.Field[Any, Any]", model._meta.get_field(name))


def exists(model: type[models.Model], identifier: ObjectId) -> bool:
    """Tell whether `model` has a record with this id."""
    return store.collection(model).find_one({"_id": identifier}, {"_id": 1}) is not None


def names_referring(relation: Any, identifier: ObjectId, limit: int = 100) -> list[str]:
    """Return up to `limit` names of the records that refer to `identifier`, sorted."""
    found = store.collection(relation.related_model).find(
        {relation.field.column: identifier}, {"name": 1}, limit=limit
    )
    return sorted(str(document.get("name", document["_id"])) for document in found)
