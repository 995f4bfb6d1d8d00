"""The base of every ViewSet: lists, ETags and compare-and-set writes of documents."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, ClassVar

from bson import ObjectId
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from common.api import lists
from common.api.etags import etag_of, is_unchanged, refuse_if_stale
from common.api.json import JSON, to_json
from common.api.parameters import ListParameters, ListQuery
from common.api.roles import Access, Role
from common.api.serializers import DocumentSerializer
from common.documents import store
from common.documents.models import Document
from common.documents.store import Stored
from common.exceptions import NotFound, Stale

WRITE_ATTEMPTS = 100
"""How often a write without `If-Match` is repeated when other writers come first."""

Show = Callable[[Stored], dict[str, Any]]


class DocumentViewSet(GenericViewSet):
    """Create, read, list, change and delete the records of one `Document` model."""

    serializer_class: type[DocumentSerializer]
    parameters: ClassVar[ListParameters]
    access: ClassVar[Access]
    asks_sources: ClassVar[frozenset[str]] = frozenset()
    """Actions that wait for more than the store."""
    hashes_passwords: ClassVar[frozenset[str]] = frozenset()
    """Actions that take their time by intent, as the hash of a password does."""
    writes_many: ClassVar[frozenset[str]] = frozenset()
    """Actions that may write many records, and have the time of a batch for that."""
    lookup_field = "id"
    lookup_value_regex = "[0-9a-fA-F]{24}"

    @property
    def model(self) -> type[Document]:
        return self.serializer_class.Meta.model

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer, within the time that a request may wait for the store."""
        action = self.action_map.get((request.method or "").lower())
        with self._time_limit(action):
            return super().dispatch(request, *args, **kwargs)

    def _time_limit(self, action: str | None) -> AbstractContextManager[None]:
        if action in self.asks_sources | self.hashes_passwords:
            return nullcontext()
        return store.batch_timeout() if action in self.writes_many else store.request_timeout()

    def scope(self) -> Stored:
        """Return the condition that every record of this view meets."""
        return {}

    # --- Reading ---------------------------------------------------------------------------------

    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        query = self.parameters.parse(request.query_params, self.scope())
        with lists.search_timeout(query.searches):
            page = self.page(query)
        if isinstance(page.documents, Sequence):
            page = page._replace(documents=self.complete(page.documents))
        response = _array_response(page, self.serializer_class.show)
        response["X-Total-Count"] = str(page.total)
        if link := lists.link_header(request, query, page):
            response["Link"] = link
        return response

    def page(self, query: ListQuery) -> lists.Page:
        """Return the documents that a list shows."""
        return lists.read_page(self.model, self.serializer_class.projection(), query)

    def complete(self, documents: Sequence[Stored]) -> Sequence[Stored]:
        """Return the documents of a page with what is told beside what they hold."""
        return documents

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        document = self.get_document()
        etag = self.etag(document)
        if is_unchanged(request, etag):
            return not_modified(etag)
        return self._response(document, etag)

    def get_document(self) -> Stored:
        """Return the stored document that the path names. Raises NotFound."""
        identifier = ObjectId(self.kwargs[self.lookup_url_kwarg or self.lookup_field])
        # However long the action may take, a store that is away is told as soon as ever.
        with store.request_timeout():
            found = store.find_one(self.model, {**self.scope(), "_id": identifier})
        if found is None:
            noun = self.model._meta.verbose_name
            raise NotFound(f"There is no {noun} with the id {identifier}.")
        return found

    def etag(self, document: Stored) -> str:
        return etag_of(document, self.model.kept, self.serializer_class.clocked(document))

    def record_response(self, document: Stored, status: int = 200) -> HttpResponse:
        return self._response(document, self.etag(document), status)

    def _response(self, document: Stored, etag: str, status: int = 200) -> HttpResponse:
        body = to_json(self.serializer_class.show(document))
        return HttpResponse(body, status=status, content_type=JSON, headers={"ETag": etag})

    # --- Writing ---------------------------------------------------------------------------------

    def create(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return self.created_response(serializer.save())

    def created_response(self, record: Document) -> HttpResponse:
        response = self.record_response(record.document, status.HTTP_201_CREATED)
        address = self.request.build_absolute_uri(self.request.path)
        response["Location"] = f"{address.rstrip('/')}/{record.pk}"
        return response

    def update(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Change the fields that are sent, and keep the others: `PUT` as well as `PATCH`.

        The write holds while the document is what was read. Where another came first, a client
        that sent `If-Match` is told so; for any other the change is made again on the new record.
        """
        for _ in range(WRITE_ATTEMPTS):
            record = self.model.from_document(self.current_document(request))
            serializer = self.get_serializer(record, data=request.data, partial=True)
            serializer.is_valid(raise_exception=True)
            try:
                written = serializer.save()
            except Stale:
                continue
            return self.record_response(written.document)
        raise Stale

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.update(request, *args, **kwargs)

    def current_document(self, request: Request) -> Stored:
        """Return the document that the path names, if it is the one `If-Match` names."""
        document = self.get_document()
        refuse_if_stale(request, document, self.model.kept)
        return document

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Remove the record that the path names, unless another refers to it."""
        for _ in range(WRITE_ATTEMPTS):
            record = self.model.from_document(self.current_document(request))
            try:
                record.delete()
            except Stale:
                continue
            return Response(status=status.HTTP_204_NO_CONTENT)
        raise Stale


def records_access(writes: Role) -> Access:
    """Return who may what with the records of a ViewSet: everyone reads them."""
    reading = dict.fromkeys(("list", "retrieve"), Role.VIEWER)
    writing = dict.fromkeys(("create", "update", "partial_update", "destroy"), writes)
    return reading | writing


def not_modified(etag: str) -> HttpResponse:
    response = HttpResponse(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
    # There is no body that it could be the type of.
    del response["Content-Type"]
    return response


def _array_response(page: lists.Page, show: Show) -> HttpResponseBase:
    if isinstance(page.documents, Sequence):
        records = [show(document) for document in page.documents]
        return HttpResponse(to_json(records), content_type=JSON)
    return StreamingHttpResponse(_json_array(page.documents, show), content_type=JSON)


def _json_array(documents: Iterator[Stored], show: Show) -> Iterator[bytes]:
    """Yield a JSON array batch by batch, so that memory stays flat however long it is."""
    opening = b"["
    while batch := [show(document) for document in islice(documents, lists.BATCH)]:
        yield opening + to_json(batch)[1:-1]
        opening = b","
    yield b"]" if opening == b"," else b"[]"
