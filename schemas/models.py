"""Schemas: the target tables that mappings write, which only grow."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django_mongodb_backend.fields import EmbeddedModelArrayField, ObjectIdField
from django_mongodb_backend.models import EmbeddedModel

from common.documents import writes
from common.documents.models import Document, Held, RuleErrors, page_index
from common.documents.store import Stored
from common.exceptions import IncompatibleSchema, InUse, ServiceError
from schemas import evolution, impact, versions

MAX_COLUMNS = 1600
"""PostgreSQL's own limit for a table."""


class DataType(models.TextChoices):
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"


class Column(EmbeddedModel):
    """A column of a target table."""

    name = models.CharField(max_length=100)
    data_type = models.CharField(max_length=20, choices=DataType.choices)

    def __str__(self) -> str:
        return f"{self.name} {self.data_type}"


class Schema(Document):
    """A target table: its columns, in order."""

    name = models.CharField(max_length=100, unique=True)
    description = models.CharField(max_length=500, null=True, blank=True)
    columns = EmbeddedModelArrayField(Column)

    class Meta(Document.Meta):
        db_table = "schemas"
        ordering = ["-updated_at", "-id"]
        indexes = [
            page_index("schemas_newest"),
            page_index("schemas_by_name", "name"),
        ]

    def rule_errors(self) -> RuleErrors:
        errors = super().rule_errors()
        if self.to_document()["columns"] != self._loaded.get("columns"):
            errors |= self._column_errors()
        return errors

    def _column_errors(self) -> RuleErrors:
        return {
            f"columns.{index}.name": ValidationError(
                f'"{name}" is named twice; column names differ in more than case.', code="duplicate"
            )
            for index, name in evolution.repeated([column.name for column in self.columns or []])
        }

    def to_document(self) -> Stored:
        """Return the stored form; what other programs noted on a column stays with it."""
        document = super().to_document()
        document["columns"] = evolution.carried_over(
            self.columns_before(), document["columns"] or []
        )
        return document

    def columns_before(self) -> list[evolution.StoredColumn]:
        """Return the columns that are stored."""
        return evolution.stored_columns(self.document)

    def drops_columns(self) -> bool:
        return bool(evolution.dropped(self.columns_before(), self.to_document()["columns"]))

    def differences(self) -> list[evolution.Move]:
        """Return what the next write changes of the columns; nothing of a new schema."""
        before = self.columns_before()
        return evolution.differences(before, self.to_document()["columns"]) if before else []

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the schema; a stored one only grows while mappings use it.

        A change of its columns makes a version, in the same transaction.

        Raises IncompatibleSchema for a changed type, InUse for a column dropped while in use; both
        carry the report of `impact`.
        """
        changed = evolution.changed_types(self.columns_before(), self.to_document()["columns"])
        if changed:
            raise self._told(IncompatibleSchema(*evolution.refusal(str(self), changed)))
        if not (self.is_stored and self.differences()):
            return super().save(*args, **kwargs)

        def work() -> None:
            before = self.document
            super(Schema, self).save(*args, **kwargs)
            versions.note(before, self.to_document()["columns"])

        writes.transaction(work)
        return None

    def _told(self, refusal: ServiceError) -> ServiceError:
        refusal.more = impact.report(self.pk, self.differences())
        return refusal

    def delete_dependents(self) -> None:
        super().delete_dependents()
        versions.forget(self.pk)

    def held_by_save(self) -> list[Held]:
        """Return the schema itself where it loses columns, which a new mapping may rely on."""
        this = [(Schema, self.pk)] if self.is_stored and self.drops_columns() else []
        return super().held_by_save() + this

    def confirm(self) -> None:
        super().confirm()
        if self.is_stored and self.drops_columns():
            try:
                self.refuse_if_used()
            except InUse as used:
                raise self._told(used) from used


class SchemaVersion(models.Model):
    """The columns that a schema had: one for each change of them, from 1.

    No `Document`: nothing changes it, refers to it, or is told of it.
    """

    schema_id = ObjectIdField()
    version = models.PositiveIntegerField()
    at = models.DateTimeField(null=True)
    actor = models.CharField(max_length=200, null=True)
    columns = models.JSONField()
    changes = models.JSONField()

    class Meta:
        db_table = versions.COLLECTION
        ordering = ["-version"]
        constraints = [
            models.UniqueConstraint(fields=["schema_id", "version"], name="schema_versions_once"),
        ]

    def __str__(self) -> str:
        return f"version {self.version} of {self.schema_id}"
