"""The base of every record's admin: the API's rules and refusals, and lists that stay fast.

Django's querysets say which records a page shows; the records come from their documents, as
everywhere in this service: odd ones as far as they can be, and written by condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from common.admin.actions import do_each, is_outage, report
from common.admin.badges import age
from common.admin.conflicts import Conflict, Difference, differences
from common.admin.deletion import deletions_of
from common.admin.fields import LinesField, NameField, SecretField
from common.admin.forms import DocumentForm, Refusal
from common.admin.lists import (
    PAGE_SIZE,
    DocumentChangeList,
    DocumentPaginator,
    beginning_with,
    containing,
    filter_parameters,
    has_some,
    list_query,
    search_text,
)
from common.admin.records import as_records, record_of
from common.documents.models import Document
from common.exceptions import SearchTooBroad, ServiceError
from common.secrets.fields import EncryptedTextField

MAX_SELECTED = 500
"""Records an action takes at a time: each is a write of its own."""
MAX_LISTED = 20
"""Records that the page which asks whether to delete them lists by name."""


class DocumentAdmin(ModelAdmin):
    form = DocumentForm
    paginator = DocumentPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = PAGE_SIZE
    list_max_show_all = PAGE_SIZE
    list_filter_submit = False
    warn_unsaved_form = True
    actions: tuple[str, ...] = ("delete_selected",)
    change_form_before_template = "common/admin/before_form.html"
    delete_confirmation_template = "common/admin/delete_confirmation.html"
    delete_selected_confirmation_template = "common/admin/delete_selected_confirmation.html"
    formfield_overrides: ClassVar[dict[Any, Any]] = {
        EncryptedTextField: {"form_class": SecretField, "widget": None},
        models.TextField: {"form_class": LinesField},
    }

    class Media:
        css: ClassVar = {"all": ["common/admin.css"]}
        js: ClassVar = ["common/admin.js"]

    # --- Lists ------------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DocumentChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        try:
            return super().changelist_view(request, extra_context)
        except SearchTooBroad as refusal:
            messages.error(request, refusal.detail)
        except ValidationError as refusal:
            # Selected was an id that another program made, and that is none of the service's.
            messages.error(request, " ".join(refusal.messages))
        return redirect(self.address("changelist"))

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Allow what the list's own filters ask, and no other.

        Django's would allow any field, with which a secret is guessed letter by letter.
        """
        return lookup in filter_parameters(self.model, self.get_list_filter(request))

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Look for the text as it is, as the API does.

        To choose a record, in its name alone: an index finds those that begin with the text, and
        only where none does is it looked for inside of names.
        """
        chooses = request.path.endswith("/autocomplete/")
        fields = ("name",) if chooses else self.get_search_fields(request)
        text = search_text(search_term)
        if not text:
            return queryset, False
        if any(field.name == "name" for field in self.opts.fields):
            begins = beginning_with(queryset, text)
            if chooses and has_some(begins):
                return begins, False
            request.by_beginning = begins  # type: ignore[attr-defined]
        return containing(queryset, text, fields), False

    def get_paginator(
        self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any
    ) -> Paginator:
        if queryset.model is not self.model:
            return Paginator(queryset, *args, **kwargs)
        paginator: DocumentPaginator = super().get_paginator(request, queryset, *args, **kwargs)
        paginator.by_beginning = getattr(request, "by_beginning", None)
        return paginator

    def prefetch(self, records: Sequence[Any]) -> None:
        """Read what the columns of a page need beyond its records, all at once."""

    @admin.display(description="Changed", ordering="updated_at")
    def changed(self, obj: Document) -> SafeString:
        return age(obj.updated_at)

    # --- Forms ------------------------------------------------------------------------------------

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
            context["conflict"] = Conflict(form.page_version(), found)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def inline_differences(self, formsets: Sequence[Any]) -> Iterable[Difference]:
        """Return where what is typed below the record is not what is stored."""
        return []

    # --- Deleting ---------------------------------------------------------------------------------

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return what would go, how many, what the person may not, and what keeps some."""
        deletions = deletions_of(list(objs))
        going = [str(deletion) for deletion in deletions if not deletion.refusal]
        kept = [deletion.refusal for deletion in deletions if deletion.refusal]
        lacking = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        return limited(going), {str(self.opts.verbose_name_plural): len(going)}, lacking, kept

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except ServiceError as refusal:
            if is_outage(refusal):
                raise
            messages.error(request, refusal.detail)
            return redirect(self.address("change", object_id))

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Leave it to `delete_model`: Django asks for the entry before the record is gone."""

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        obj.delete()
        super().log_deletions(request, [obj])

    @admin.action(permissions=["delete"], description="Delete the selected")
    def delete_selected(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> HttpResponseBase | None:
        selected = self.selected(request, queryset)
        if not selected:
            return None
        if not request.POST.get("post"):
            return self.deletion_page(request, selected)
        outcomes = do_each(selected, lambda record: self.delete_model(request, record))
        report(request, "deleted", outcomes)
        return None

    def deletion_page(self, request: HttpRequest, selected: list[Any]) -> HttpResponse:
        going, count, lacking, kept = self.get_deleted_objects(selected, request)
        context = {
            **self.admin_site.each_context(request),
            "title": "Delete",
            "objects_name": str(self.opts.verbose_name_plural),
            "deletable_objects": going,
            "count": sum(count.values()),
            "queryset": selected,
            "perms_lacking": lacking,
            "protected": limited(kept),
            "opts": self.opts,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.delete_selected_confirmation_template, context)

    # --- Actions ----------------------------------------------------------------------------------

    def selected(
        self, request: HttpRequest, queryset: models.QuerySet[Any], limit: int = MAX_SELECTED
    ) -> list[Any]:
        """Return the selected records; none, and a message, where they are more than `limit`."""
        documents = list_query(queryset)._replace(limit=limit + 1).documents()
        if len(documents) > limit:
            messages.error(
                request,
                f"Nothing was done: more than {limit} are selected. Go page by page, which is up "
                f"to {self.list_per_page} at a time, or filter the list first.",
            )
            return []
        return as_records(self.model, documents)

    def address(self, page: str, *args: Any) -> str:
        """Return the address of a page of this model: `change`, `changelist`, `add` or its own."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}", args=args)


def limited(texts: list[str]) -> list[str]:
    """Return the first texts of many, and how many more there are."""
    more = len(texts) - MAX_LISTED
    return [*texts[:MAX_LISTED], f"… and {more} more"] if more > 0 else texts


def secret_field(field: EncryptedTextField, **kwargs: Any) -> SecretField:
    label = kwargs.get("label") or field.verbose_name.capitalize()
    return SecretField(
        max_length=field.max_length,
        required=not field.blank,
        label=label,
        help_text=kwargs.get("help_text") or field.help_text,
    )
