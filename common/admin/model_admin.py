"""The base of every record's admin: the API's rules and refusals, and lists that stay fast.

Django's querysets say which records a page shows; the records come from their documents, as
everywhere in this service: odd ones as far as they can be, and written by condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse

from common.admin.actions import is_outage
from common.admin.conflicts import Conflict, Difference, differences
from common.admin.deletion import DeletionAdmin
from common.admin.fields import LinesField, NameField, ReferencesField, SecretField
from common.admin.forms import DocumentForm, Refusal
from common.admin.records import record_of
from common.documents.models import Document
from common.exceptions import ServiceError
from common.secrets.fields import EncryptedTextField
from common.secrets.holder import SecretHolder, SecretReferencesField


class DocumentAdmin(DeletionAdmin):
    form = DocumentForm
    warn_unsaved_form = True
    change_form_before_template = "common/admin/before_form.html"
    formfield_overrides: ClassVar[dict[Any, Any]] = {
        EncryptedTextField: {"form_class": SecretField, "widget": None},
        models.TextField: {"form_class": LinesField},
    }

    class Media:
        css: ClassVar = {"all": ["common/admin.css"]}
        js: ClassVar = ["common/admin.js"]

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Document | None:
        return record_of(self.model, object_id)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the groups of fields; the last one is history, which a new record has none of."""
        return super().get_fieldsets(request, obj)[: None if obj else -1]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if isinstance(db_field, EncryptedTextField):
            return secret_field(db_field, **kwargs)
        if isinstance(db_field, SecretReferencesField):
            return ReferencesField(label="Secrets from", help_text=where_secrets_are(self.model))
        if db_field.name == "name":
            kwargs["form_class"] = NameField
        if isinstance(db_field, models.TextField) and db_field.null:
            kwargs["empty_value"] = None
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show or save a record; what the store refuses comes back as an error of the form."""
        arguments = (request, object_id, form_url, extra_context)
        try:
            return super().changeform_view(*arguments)
        except (ServiceError, ValidationError) as refusal:
            if is_outage(refusal):
                raise
            request.refusal = refusal  # type: ignore[attr-defined]
            return super().changeform_view(*arguments)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        refusal: Refusal | None = getattr(request, "refusal", None)
        return type(form.__name__, (form,), {"refusal": refusal}) if refusal else form

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        form: DocumentForm = context["adminform"].form
        formsets = [inline.formset for inline in context["inline_admin_formsets"]]
        if form.is_bound and any(part.is_stale() for part in (form, *formsets)):
            found = [*differences(form), *self.inline_differences(formsets)]
            context["conflict"] = Conflict(form.page_version, found)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def inline_differences(self, formsets: Sequence[Any]) -> Iterable[Difference]:
        """Return where what is typed below the record is not what is stored."""
        return []


def where_secrets_are(model: type[SecretHolder]) -> str:
    """Return how a record refers to its secrets, by the first of them."""
    name, variable = model.secret_names()[0], f"{settings.SECRET_ENV_PREFIX}CRM"
    return (
        f'In place of a stored secret: {{"{name}": {{"env": "{variable}"}}}}, {{"file": PATH}} or '
        '{"vault": "PATH#KEY"}.'
    )


def secret_field(field: EncryptedTextField, **kwargs: Any) -> SecretField:
    label = kwargs.get("label") or field.verbose_name.capitalize()
    return SecretField(
        max_length=field.max_length,
        required=not field.blank,
        label=label,
        help_text=kwargs.get("help_text") or field.help_text,
    )
