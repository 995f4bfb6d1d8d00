"""Schemas: the target tables that mappings write, which only grow."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django_mongodb_backend.fields import EmbeddedModelArrayField
from django_mongodb_backend.models import EmbeddedModel

from common.documents import store
from common.documents.models import Document, RuleErrors, page_index
from common.documents.store import Stored
from common.exceptions import IncompatibleSchema
from schemas import evolution


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

    noun: ClassVar[str] = "schema"

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
        return super().rule_errors() | {
            f"columns.{index}.name": ValidationError(
                f'"{name}" is named twice; column names differ in more than case.', code="duplicate"
            )
            for index, name in evolution.repeated(self._names())
        }

    def _names(self) -> list[str]:
        return [column.name for column in self.columns or []]

    def to_document(self) -> Stored:
        """Return the stored form; what other programs noted on a column stays with it."""
        document = super().to_document()
        before = evolution.stored_columns(self._stored or {})
        document["columns"] = evolution.carried_over(before, document["columns"] or [])
        return document

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the schema; a stored one only grows while mappings use it.

        A column is dropped under the schema's lease, so that a mapping made at the same time is
        seen here, or itself sees the schema without the column.

        Raises IncompatibleSchema for a changed type, InUse for a column dropped while in use.
        """
        before = evolution.stored_columns(self._stored or {})
        after = self.to_document()["columns"]
        if changed := evolution.changed_types(before, after):
            raise IncompatibleSchema(*evolution.refusal(str(self), changed))
        if not evolution.dropped(before, after):
            super().save(*args, **kwargs)
            return
        with store.lease(Schema, self.pk):
            self.refuse_if_used()
            super().save(*args, **kwargs)
