"""The base of every ViewSet: lists, ETags and compare-and-set writes of documents."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

from bson import ObjectId
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from common.api import lists
from common.api.etags import etag_of, is_unchanged, refuse_if_stale
from common.api.json import JSON, JSONRenderer, address_of, to_json
from common.api.parameters import Parameters
from common.api.serializers import DocumentSerializer, Reader
from common.documents import store
from common.documents.models import Document
from common.documents.store import Stored
from common.exceptions import NotFound, Stale

RENDERER = JSONRenderer()
WRITE_ATTEMPTS = 100
"""How often a write without `If-Match` is repeated when other writers come first."""


class DocumentViewSet(GenericViewSet):
    """Create, read, list, change and delete the records of one `Document` model."""

    serializer_class: type[DocumentSerializer]
    parameters: ClassVar[Parameters]
    lookup_field = "id"
    lookup_value_regex = "[0-9a-fA-F]{24}"

    @property
    def model(self) -> type[Document]:
        return self.serializer_class.Meta.model

    @property
    def reader(self) -> Reader:
        return self.serializer_class.reader()

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Return `Allow` for the answers that must have it: to OPTIONS, and to a wrong method."""
        is_served = (self.request.method or "").lower() in self.action_map
        return {} if is_served else super().default_response_headers

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Settle who asks, what they may, and in which form: by default anyone, all, and JSON."""
        if request.authenticators or self.get_permissions() or self.get_throttles():
            super().initial(request, *args, **kwargs)
        else:
            request.accepted_renderer, request.accepted_media_type = RENDERER, JSON

    def scope(self) -> Stored:
        """Return the condition that every record of this view meets."""
        return {}

    # --- Reading ---------------------------------------------------------------------------------

    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        listing = self.parameters.parse(request.query_params, self.scope())
        with lists.within_reason(listing.searches):
            page = lists.page(self.model, self.reader.projection, listing)
        records = [self.reader.record(document) for document in page.first]
        if len(records) < lists.BATCH:
            response: HttpResponseBase = HttpResponse(to_json(records), content_type=JSON)
        else:
            response = StreamingHttpResponse(
                _json_array(records, page.rest, self.reader), content_type=JSON
            )
        response["X-Total-Count"] = str(page.total)
        if link := lists.link_header(request, listing, page):
            response["Link"] = link
        return response

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        document = self.get_document()
        etag = etag_of(document, self.reader.clocked(document))
        if is_unchanged(request, etag):
            return not_modified(etag)
        return self._response(document, etag, status.HTTP_200_OK)

    def get_document(self) -> Stored:
        """Return the stored document that the path names. Raises NotFound."""
        identifier = ObjectId(self.kwargs[self.lookup_field])
        wanted = {**self.scope(), "_id": identifier}
        found = store.collection(self.model).find_one(wanted, store.WITHOUT_LEASE)
        if found is None:
            raise NotFound(f"There is no {self.model.noun} with the id {identifier}.")
        return found

    def record_response(self, document: Stored, status: int = 200) -> HttpResponse:
        return self._response(document, etag_of(document, self.reader.clocked(document)), status)

    def _response(self, document: Stored, etag: str, status: int) -> HttpResponse:
        body = to_json(self.reader.record(document))
        return HttpResponse(body, status=status, content_type=JSON, headers={"ETag": etag})

    # --- Writing ---------------------------------------------------------------------------------

    def create(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        serializer = self.serializer_class(data=request.data)
        serializer.is_valid(raise_exception=True)
        return self.created_response(serializer.save())

    def created_response(self, record: Document) -> HttpResponse:
        response = self.record_response(record._stored or {}, status.HTTP_201_CREATED)
        response["Location"] = f"{address_of(self.request).rstrip('/')}/{record.pk}"
        return response

    def update(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Change the fields that are sent, and keep the others: `PUT` as well as `PATCH`.

        The write holds while the document is what was read. Where another came first, a client
        that sent `If-Match` is told so; for any other the change is made again on the new record.
        """
        for _ in range(WRITE_ATTEMPTS):
            document = self.current_document(request)
            serializer = self.serializer_class(
                self.model.from_document(document), data=request.data, partial=True
            )
            serializer.is_valid(raise_exception=True)
            try:
                record = serializer.save()
            except Stale:
                continue
            return self.record_response(record._stored or {})
        raise Stale

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.update(request, *args, **kwargs)

    def current_document(self, request: Request) -> Stored:
        """Return the document that the path names, if it is the one `If-Match` names."""
        document = self.get_document()
        refuse_if_stale(request, document)
        return document

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Remove the record that the path names, unless another refers to it."""
        for _ in range(WRITE_ATTEMPTS):
            record = self._record_to_delete(request)
            try:
                record.delete()
            except Stale:
                continue
            return Response(status=status.HTTP_204_NO_CONTENT)
        raise Stale

    def _record_to_delete(self, request: Request) -> Document:
        if "HTTP_IF_MATCH" in request.META or self.scope():
            return self.model.from_document(self.current_document(request))
        identifier = ObjectId(self.kwargs[self.lookup_field])
        return self.model(pk=identifier)  # type: ignore[misc]  # `pk` of an abstract model


def not_modified(etag: str) -> HttpResponse:
    response = HttpResponse(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
    # There is no body that it could be the type of.
    del response["Content-Type"]
    return response


def _json_array(
    first: list[dict[str, Any]], rest: Iterator[Stored], reader: Reader
) -> Iterator[bytes]:
    """Yield a JSON array batch by batch, so that memory stays flat however long it is."""
    batch = first
    opening = b"["
    while batch:
        yield opening + to_json(batch)[1:-1]
        opening = b","
        batch = [reader.record(document) for document in islice(rest, lists.BATCH)]
    yield b"]"
