"""Schemas in the admin: the columns of a target table as rows to fill, and who uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES

from audit.admin import AuditedHistory
from common.admin.badges import NOTHING
from common.admin.forms import DocumentForm
from common.admin.model_admin import DocumentAdmin
from common.admin.records import note_users, users_link
from common.documents import names
from common.exceptions import InUse, ServiceError
from schemas.models import MAX_COLUMNS, Column, DataType, Schema

Row = tuple[str, str]
"""A column's name and type."""

COLUMNS_LISTED = 5
EMPTY_ROWS = 3


class ColumnsWidget(forms.Widget):
    """Rows of a name and a type, in the order of the table; their inputs share two names.

    The type of a stored column can be seen, and not be chosen: it never changes.
    """

    template_name = "schemas/admin/columns.html"

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs)
        self.marked: set[int] = set()
        self.stored: dict[str, str] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> ColumnsWidget:
        # Django copies a form's widgets flat: a mark of one request would stay for all others.
        copied: ColumnsWidget = super().__deepcopy__(memo)
        copied.marked, copied.stored = set(), {}
        return copied

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, None, attrs)
        rows = [_row(item) for item in value or []]
        context["widget"] |= {
            "rows": [
                {
                    "name": column,
                    "type": data_type,
                    "marked": index in self.marked,
                    "is_stored": column in self.stored and data_type == self.stored[column],
                }
                for index, (column, data_type) in enumerate(rows or [("", "")] * EMPTY_ROWS)
            ],
            "types": DataType.values,
            "input_class": " ".join(INPUT_CLASSES),
            "select_class": " ".join(SELECT_CLASSES),
        }
        return context

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> list[Row]:
        assert isinstance(data, QueryDict)  # noqa: S101 - what a form in a page sends
        sent = zip(data.getlist(f"{name}-name"), data.getlist(f"{name}-data_type"), strict=False)
        return [(column, data_type) for column, data_type in sent if column.strip()]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}-name" not in data

    def id_for_label(self, id_: str) -> str:
        return f"{id_}_0" if id_ else id_


def _row(item: Any) -> Row:
    if isinstance(item, tuple):
        return item
    return str(getattr(item, "name", "")), str(getattr(item, "data_type", ""))


class ColumnsField(forms.Field):
    """The columns of a schema; a row without a name is none."""

    widget: ColumnsWidget = ColumnsWidget  # type: ignore[assignment]  # an instance of it, once made

    def keep(self, stored: Any) -> None:
        """Note the columns that are stored, whose names may be of older rules."""
        self.widget.stored = dict(map(_row, stored or []))

    def clean(self, value: Sequence[Row]) -> list[Column]:
        if not value:
            raise ValidationError("This list may not be empty.", code="empty")
        if len(value) > MAX_COLUMNS:
            said = f"Ensure this field has no more than {MAX_COLUMNS} elements."
            raise ValidationError(said, code="max_length")
        rows = [(self._known_name(name), data_type) for name, data_type in value]
        errors = []
        for index, row in enumerate(rows):
            if found := self._row_errors(*row):
                self.mark(f"columns.{index}")
                errors += found
        if errors:
            raise ValidationError(errors)
        return [Column(name=name, data_type=data_type) for name, data_type in rows]

    def _known_name(self, name: str) -> str:
        return name if name in self.widget.stored else names.normalized(name)

    def _row_errors(self, name: str, data_type: str) -> list[ValidationError]:
        errors = []
        if name not in self.widget.stored and (problem := names.problem(name)):
            errors.append(ValidationError(problem, code="invalid"))
        if data_type not in DataType.values and self.widget.stored.get(name) != data_type:
            message = f"Expected one of {', '.join(DataType.values)}."
            errors.append(ValidationError(message, code="invalid_choice"))
        return errors

    def mark(self, path: str) -> None:
        """Mark the row that a path such as `columns.2.name` leads to."""
        index = path.split(".")[1:2]
        if index and index[0].isdigit():
            self.widget.marked.add(int(index[0]))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return [_row(item) for item in initial or []] != list(data or [])

    def as_text(self, value: Any) -> str:
        return "\n".join(" ".join(_row(item)) for item in value or [])


class SchemaForm(DocumentForm):
    columns = ColumnsField(
        help_text="Columns may be added and moved; a type never changes, and a column goes only "
        "while no mapping uses the schema."
    )

    def add_refusal(self, refusal: ServiceError) -> None:
        if isinstance(refusal, InUse):
            self.add_error("columns", ValidationError(refusal.detail, code=refusal.code))
        else:
            super().add_refusal(refusal)


@admin.register(Schema)
class SchemaAdmin(AuditedHistory, DocumentAdmin):
    form = SchemaForm
    list_display = ("name", "column_names", "about", "mappings", "changed")
    search_fields = ("name", "description")
    readonly_fields = ("lineage", "mappings", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "description")}),
        ("Columns", {"fields": ("columns", "lineage")}),
        ("History", {"fields": ("mappings", "created_at", "updated_at"), "classes": ["collapse"]}),
    )

    def prefetch(self, records: Sequence[Any]) -> None:
        note_users(records, Schema, "mappings")

    @admin.display(description="Columns")
    def column_names(self, obj: Schema) -> SafeString:
        columns = [_row(column)[0] for column in obj.columns or []]
        more = ", …" if len(columns) > COLUMNS_LISTED else ""
        return format_html(
            '<strong>{}</strong> <span class="etl-quiet etl-mono">{}{}</span>',
            len(columns), ", ".join(columns[:COLUMNS_LISTED]), more,
        )  # fmt: skip

    @admin.display(description="Lineage")
    def lineage(self, obj: Schema) -> SafeString | str:
        if not obj.is_stored:
            return NOTHING
        address = reverse("admin:mappings_lineage_schema", args=[obj.pk])
        return format_html('<a class="etl-link" href="{}">What feeds these columns</a>', address)

    @admin.display(description="Description")
    def about(self, obj: Schema) -> str:
        text = obj.description or ""
        return text if len(text) <= 60 else text[:59] + "…"

    @admin.display(description="Mappings")
    def mappings(self, obj: Schema) -> SafeString:
        return users_link(obj, "mappings")
