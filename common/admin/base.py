"""The base of every record's admin: the API's rules and refusals, and lists that stay fast.

Django's querysets say which records a page shows; the records come from their documents, as
everywhere in this service: odd ones are shown, not stumbled over, and writes are conditional.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property, reduce
from operator import or_
from typing import Any, ClassVar, cast

from bson import ObjectId
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.core.paginator import Page, Paginator
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from common.admin.badges import age, list_link
from common.admin.forms import DocumentForm, LinesField, Refusal, SecretField
from common.api import lists
from common.api.parameters import MAX_SEARCH
from common.documents import store
from common.documents.models import Document
from common.documents.query import Query, query_of
from common.documents.store import Stored
from common.exceptions import NotFound, SearchTooBroad, ServiceError, Stale, StoreUnavailable
from common.secrets.fields import EncryptedTextField

PAGE = 100
MOST_FOUND = 1000
"""Records a search finds at most; whoever has more can say more."""
MOST_CHOSEN = 500
"""Records an action takes at a time: each is a write of its own."""

WRITE_ATTEMPTS = 20

LIST_TIMEOUT_S = 30.0
"""How long a list may take, longer than the API: a slow page is better than none."""


def list_timeout() -> AbstractContextManager[None]:
    """Wait for a list up to `LIST_TIMEOUT_S`. Raises StoreUnavailable, with a way on."""
    slow = StoreUnavailable(
        f"The store took longer than {LIST_TIMEOUT_S:g} s for this list. Search for the beginning "
        "of a name instead, or try again."
    )
    return store.time_limit(LIST_TIMEOUT_S, slow)


class DocumentPaginator(Paginator):
    """Pages of records, read as documents; counting looks at no more of them than it must.

    Everything is counted by estimate, and a search only up to `MOST_FOUND`: no index answers one,
    so it is made once.
    """

    instead: models.QuerySet[Any] | None = None
    """What to look for where the search takes too long: names that begin with its text."""

    is_narrowed = False

    @cached_property
    def query(self) -> Query:
        return query_of(cast("models.QuerySet[Any]", self.object_list))

    @cached_property
    def found(self) -> list[ObjectId]:
        """The ids that a search finds; once it takes too long, those an index can tell.

        Raises SearchTooBroad where none can.
        """
        try:
            with lists.search_timeout(searches=True):
                return self.query._replace(limit=MOST_FOUND).identifiers()
        except SearchTooBroad:
            if self.instead is None:
                raise
            self.is_narrowed = True
            return query_of(self.instead)._replace(limit=MOST_FOUND).identifiers()

    @cached_property
    def count(self) -> int:
        with list_timeout():
            if self.query.is_search():
                return len(self.found)
            return store.count(self.query.model, self.query.condition)

    def page(self, number: int | str) -> Page:
        number = self.validate_number(number)
        with list_timeout():
            return Page(self.shown((number - 1) * self.per_page), number, self)

    def shown(self, first: int) -> list[Any]:
        """Return the records of the page that begins with the record `first`, counted from 0."""
        if self.query.is_search():
            return records(self.query.model, self.found[first : first + self.per_page])
        wanted = self.query._replace(skip=first, limit=self.per_page)
        return as_records(self.query.model, wanted.documents())


class DocumentChangeList(ChangeList):
    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # "7 results (show all)" where they are not all; how many there are in all is not counted.
        self.full_result_count = None if self.paginator.query.condition else self.result_count
        if self.paginator.is_narrowed:
            messages.warning(
                request,
                f"The search took longer than {lists.SEARCH_TIMEOUT_S:g} s; these are the records "
                f'whose name begins with "{self.query}".',
            )
        if isinstance(self.result_list, models.QuerySet):
            # All of them fit on one page.
            self.result_list = self.paginator.page(1).object_list
        self.model_admin.prepare_page(self.result_list)


class DocumentAdmin(ModelAdmin):
    form = DocumentForm
    paginator = DocumentPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = PAGE
    list_max_show_all = PAGE
    list_filter_submit = False
    warn_unsaved_form = True
    actions: tuple[str, ...] = ("delete_selected",)
    change_form_before_template = "common/admin/version.html"
    formfield_overrides: ClassVar[dict[Any, Any]] = {
        EncryptedTextField: {"form_class": SecretField, "widget": None},
        models.TextField: {"form_class": LinesField},
    }

    class Media:
        css: ClassVar = {"all": ["common/admin.css"]}
        js: ClassVar = ["common/admin.js"]

    # --- Loading ---------------------------------------------------------------------------------

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Document | None:
        return record_of(self.model, object_id)

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
            # Chosen was an id that another program made, and that is none of the service's.
            messages.error(request, " ".join(refusal.messages))
        return redirect(self.address("changelist"))

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Look for the text as it is, as the API does.

        To choose a record, in its name alone: an index finds those that begin with the text, and
        only where none does is it looked for inside of names.
        """
        chooses = request.path.endswith("/autocomplete/")
        fields = ("name",) if chooses else self.get_search_fields(request)
        text = search_term.strip()[:MAX_SEARCH].replace("\0", "")
        if not text:
            return queryset, False
        if any(field.name == "name" for field in self.opts.fields):
            begins = queryset.filter(name__gte=text, name__lt=text + "\uffff")
            if chooses and has_some(begins):
                return begins, False
            request.instead = begins  # type: ignore[attr-defined]
        wanted = [models.Q((f"{name}__icontains", text)) for name in fields]
        return queryset.filter(reduce(or_, wanted)), False

    def get_paginator(
        self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any
    ) -> Paginator:
        if queryset.model is not self.model:
            return Paginator(queryset, *args, **kwargs)
        paginator: DocumentPaginator = super().get_paginator(request, queryset, *args, **kwargs)
        paginator.instead = getattr(request, "instead", None)
        return paginator

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the groups of fields; the last one is history, which a new record has none of."""
        return super().get_fieldsets(request, obj)[: None if obj else -1]

    def prepare_page(self, page: Sequence[Any]) -> None:
        """Read what the columns of a page need beyond its records, all at once."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if isinstance(db_field, EncryptedTextField):
            return secret_field(db_field, **kwargs)
        if isinstance(db_field, models.TextField) and db_field.null:
            kwargs["empty_value"] = None
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    # --- Saving ----------------------------------------------------------------------------------

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

    # --- Deleting --------------------------------------------------------------------------------

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return what would go, without collecting what hangs on it: the records say that."""
        doomed = [str(record) for record in objs]
        shown = doomed[:20] + ([f"… and {len(doomed) - 20} more"] if len(doomed) > 20 else [])
        lacking = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        return shown, {str(self.opts.verbose_name_plural): len(doomed)}, lacking, []

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Ask, then delete; a record in use is not even asked about."""
        record = record_of(self.model, object_id)
        try:
            if record is not None:
                record.refuse_if_used()
            return super().delete_view(request, object_id, extra_context)
        except ServiceError as refusal:
            if is_outage(refusal):
                raise
            messages.error(request, refusal.detail)
            return redirect(self.address("change", object_id))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        delete(obj)

    @admin.action(permissions=["delete"], description="Delete the chosen")
    def delete_selected(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> HttpResponseBase | None:
        chosen = self.chosen(request, queryset)
        if not chosen:
            return None
        if request.POST.get("post"):
            self.log_deletions(request, chosen)
            self.report(request, "deleted", [(str(one), attempt(delete, one)) for one in chosen])
            return None
        return self.deletion_page(request, chosen)

    def deletion_page(self, request: HttpRequest, chosen: list[Any]) -> HttpResponse:
        shown, count, lacking, protected = self.get_deleted_objects(chosen, request)
        context = {
            **self.admin_site.each_context(request),
            "title": "Are you sure?",
            "objects_name": str(self.opts.verbose_name_plural),
            "deletable_objects": [shown],
            "model_count": dict(count).items(),
            "queryset": chosen,
            "perms_lacking": lacking,
            "protected": protected,
            "opts": self.opts,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/delete_selected_confirmation.html", context)

    # --- Actions ---------------------------------------------------------------------------------

    def chosen(
        self, request: HttpRequest, queryset: models.QuerySet[Any], most: int = MOST_CHOSEN
    ) -> list[Any]:
        """Return the chosen records; none, and a message, where they are more than `most`."""
        documents = query_of(queryset)._replace(limit=most + 1).documents()
        if len(documents) > most:
            messages.error(request, f"Choose up to {most} at a time.")
            return []
        return as_records(self.model, documents)

    def report(
        self, request: HttpRequest, done: str, outcomes: Sequence[tuple[str, str | None]]
    ) -> None:
        """Tell how many records an action was done to, and why the others refused."""
        refused = [refusal for _, refusal in outcomes if refusal]
        good = len(outcomes) - len(refused)
        noun = self.opts.verbose_name if len(outcomes) == 1 else self.opts.verbose_name_plural
        said = "; ".join(text.rstrip(".") for text in refused[:10])
        more = f"; and {len(refused) - 10} more" if len(refused) > 10 else ""
        why = f": {said}{more}." if refused else "."
        level = messages.WARNING if refused else messages.SUCCESS
        messages.add_message(request, level, f"{good} of {len(outcomes)} {noun} {done}{why}")

    def address(self, page: str, *args: Any) -> str:
        """Return the address of a page of this model: `change`, `changelist`, `add` or its own."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}", args=args)

    # --- Columns ---------------------------------------------------------------------------------

    @admin.display(description="Changed", ordering="updated_at")
    def changed(self, obj: Document) -> SafeString:
        return age(obj.updated_at)


def secret_field(field: EncryptedTextField, **kwargs: Any) -> SecretField:
    label = kwargs.get("label") or field.verbose_name.capitalize()
    return SecretField(
        max_length=field.max_length,
        required=not field.blank,
        label=label,
        help_text=kwargs.get("help_text") or field.help_text,
    )


def record_of(model: type[Any], identifier: object) -> Any:
    """Return the record with this id, None where there is none."""
    if not ObjectId.is_valid(str(identifier)):
        return None
    document = store.collection(model).find_one({"_id": ObjectId(str(identifier))})
    return model.from_document(document) if document else None


def records(model: type[Any], identifiers: Sequence[ObjectId]) -> list[Any]:
    """Return the records with these ids, in their order; those that are gone are left out."""
    documents = documents_of(model, identifiers)
    found = [documents[identifier] for identifier in identifiers if identifier in documents]
    return as_records(model, found)


def has_some(queryset: models.QuerySet[Any]) -> bool:
    with list_timeout():
        return bool(query_of(queryset)._replace(limit=1, order=[]).documents("_id"))


def as_records(model: type[Any], documents: Iterable[Stored]) -> list[Any]:
    return [model.from_document(document) for document in documents]


def documents_of(
    model: type[models.Model], identifiers: Iterable[Any], *fields: str
) -> dict[ObjectId, Stored]:
    """Return the documents with these ids, by id; only the `fields` where some are named."""
    wanted = {"_id": {"$in": [*{one for one in identifiers if isinstance(one, ObjectId)}]}}
    found = store.collection(model).find(wanted, dict.fromkeys(fields, 1) or None)
    return {document["_id"]: document for document in found}


def count_uses(page: Sequence[Any], model: type[models.Model], users: str) -> None:
    """Note on each record of a page how many `users`, a relation of its model, refer to it."""
    relation: Any = model._meta.get_field(users)
    column = relation.field.column
    pipeline: list[Stored] = [
        {"$match": {column: {"$in": [record.pk for record in page]}}},
        {"$group": {"_id": f"${column}", "count": {"$sum": 1}}},
    ]
    found = store.collection(relation.related_model).aggregate(pipeline)
    uses = {row["_id"]: row["count"] for row in found}
    for record in page:
        record.uses = uses.get(record.pk, 0)


def uses_link(record: Any, users: str) -> SafeString:
    """Return how many `users` refer to a record, as a link to their list."""
    if not hasattr(record, "uses"):
        count_uses([record], type(record), users)
    relation: Any = record._meta.get_field(users)
    condition = {f"{relation.field.name}__id__exact": record.pk}
    return list_link(relation.related_model, str(record.uses), **condition)


def attempt(work: Callable[[Any], Any], record: Any) -> str | None:
    """Do something to a record; return the sentence that refuses it, None where it was done.

    Where another writer comes first it is done again, to what the record has become.
    """
    for _ in range(WRITE_ATTEMPTS):
        try:
            work(record)
        except Stale:
            record = record_of(type(record), record.pk) or record
        except ServiceError as refusal:
            if is_outage(refusal):
                raise
            return refusal.detail
        except ValidationError as refusal:
            return f'"{record}": {" ".join(refusal.messages)}'
        else:
            return None
    return Stale().detail


def delete(record: Document) -> None:
    """Delete a record; one that is gone already is no trouble."""
    try:
        record.delete()
    except NotFound:
        return


def is_outage(refusal: Exception) -> bool:
    return getattr(refusal, "status", None) == 503
