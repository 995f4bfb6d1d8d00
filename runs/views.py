"""Runs over REST: start, watch, stop and repeat them."""

from __future__ import annotations

from typing import Any, ClassVar

from bson import ObjectId
from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request

from common.api import lists
from common.api.json import JSON, to_json
from common.api.parameters import ListParameters, TimelineParameters
from common.api.roles import Access, Role
from common.api.views import DocumentViewSet
from common.documents import store
from common.documents.models import exists
from common.documents.store import Stored
from common.exceptions import NotFound
from connections.serializers import NothingSerializer
from mappings.models import Mapping
from runs import idempotency, rejected, starting
from runs.models import LogLine, Run
from runs.serializers import (
    LogLineSerializer,
    RejectedSerializer,
    RunSerializer,
    StartSerializer,
    WholeRunSerializer,
)

PAGE, MOST = 100, 1000

IDEMPOTENCY = OpenApiParameter(
    idempotency.HEADER,
    str,
    OpenApiParameter.HEADER,
    description="1 to 255 printable ASCII characters; for 24 h a repeat answers with the same run.",
)


class RunRecords(DocumentViewSet):
    """What every view of runs shares: a run's address and its answer."""

    serializer_class: Any = RunSerializer

    def _response(self, document: Stored, etag: str, status: int = 200) -> HttpResponse:
        body = to_json(WholeRunSerializer.show(document))
        return HttpResponse(body, status=status, content_type=JSON, headers={"ETag": etag})

    def accepted(self, run: Stored) -> HttpResponse:
        """Answer 202 with a run and where it is."""
        response = self.record_response(run, status.HTTP_202_ACCEPTED)
        address = f"{settings.API_V1_PREFIX}/runs/{run['_id']}"
        response["Location"] = self.request.build_absolute_uri(address)
        return response

    @property
    def idempotency_key(self) -> str | None:
        return idempotency.checked(self.request.headers.get(idempotency.HEADER))


class RunViewSet(RunRecords):
    parameters = TimelineParameters(
        Run,
        ["mapping_id", "schedule_id", "status", "trigger"],
        "queued_at",
        page_size=PAGE,
        max_limit=MOST,
    )
    access: ClassVar[Access] = {
        "list": Role.VIEWER,
        "retrieve": Role.VIEWER,
        "log": Role.VIEWER,
        "rejected": Role.ANALYST,
        "cancel": Role.EDITOR,
        "retry": Role.EDITOR,
    }
    http_method_names = ("get", "post", "head", "options")
    source_refusals: ClassVar = {"cancel": ("409",), "retry": ("409",)}

    @extend_schema(responses=RunSerializer(many=True))
    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """List runs without their plans, newest `queued_at` first, in pages of 100."""
        return super().list(request, *args, **kwargs)

    @extend_schema(responses=WholeRunSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Read one run, with the plan that it keeps."""
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(request=NothingSerializer, responses={202: WholeRunSerializer})
    def cancel(self, request: Request, **kwargs: Any) -> HttpResponse:
        """Stop a run; what has committed already has succeeded."""
        run = self.get_document()
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        return self.accepted(starting.cancel(run["_id"]))

    @extend_schema(
        request=NothingSerializer, responses={202: WholeRunSerializer}, parameters=[IDEMPOTENCY]
    )
    def retry(self, request: Request, **kwargs: Any) -> HttpResponse:
        """Queue a new run in the place of one that failed, was cancelled or skipped."""
        old = self.get_document()
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        key, scope = self.idempotency_key, f"retry/{old['_id']}"
        run = idempotency.once(key, scope, {}, lambda run_id: starting.retry(old, run_id))
        return self.accepted(run)

    @extend_schema(responses=RejectedSerializer(many=True))
    def rejected(self, request: Request, **kwargs: Any) -> HttpResponse:
        """List the values that the last attempt refused, by row: the first 10,000."""
        run = self.get_document()
        query = REJECTED.parse(request.query_params, {})
        limit = query.limit or PAGE
        found, total = rejected.read(run, query.offset, limit)
        page = lists.Page(found, total, query.offset + len(found) < total)
        response = HttpResponse(to_json(found), content_type=JSON)
        response["X-Total-Count"] = str(total)
        if link := lists.link_header(request, query, page):
            response["Link"] = link
        return response


class _Rejected(ListParameters):
    """The entries of one run have one order: by row."""

    def __init__(self) -> None:
        super().__init__(Run, [], order="-id", page_size=PAGE, max_limit=MOST)

    def _read(self, name: str, text: str, asked: dict[str, Any]) -> None:
        if name not in ("limit", "offset"):
            raise ValueError("There is no such parameter; there are limit and offset.")
        super()._read(name, text, asked)


REJECTED = _Rejected()


class LogViewSet(DocumentViewSet):
    """The log of one run."""

    serializer_class: Any = LogLineSerializer
    parameters = TimelineParameters(LogLine, ["level", "stage"], "at", order="at")
    access: ClassVar[Access] = {"list": Role.VIEWER}
    http_method_names = ("get", "head", "options")
    lookup_url_kwarg = "id"

    def scope(self) -> Stored:
        return {"run_id": ObjectId(self.kwargs["id"])}

    @extend_schema(responses=LogLineSerializer(many=True))
    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """List what a run said, oldest first: the newest 10,000 lines."""
        if not store.find_one(Run, {"_id": ObjectId(self.kwargs["id"])}, {"_id": 1}):
            raise NotFound(f"There is no run with the id {self.kwargs['id']}.")
        return super().list(request, *args, **kwargs)


class MappingRunsViewSet(RunRecords):
    """The runs that are started of one mapping."""

    access: ClassVar[Access] = {"start": Role.EDITOR}
    http_method_names = ("post", "options")
    source_refusals: ClassVar = {"start": ("409", "429")}
    examples: ClassVar = {"start": {"full_refresh": False}}
    lookup_url_kwarg = "mapping_id"

    @extend_schema(
        request=StartSerializer, responses={202: WholeRunSerializer}, parameters=[IDEMPOTENCY]
    )
    def start(self, request: Request, mapping_id: str) -> HttpResponse:
        """Queue a run of the mapping as it is now."""
        mapping = ObjectId(mapping_id)
        if not exists(Mapping, mapping):
            raise NotFound(f"There is no mapping with the id {mapping}.")
        body = StartSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        run = idempotency.once(
            self.idempotency_key,
            f"mapping/{mapping}",
            asked,
            lambda run_id: starting.start(mapping, **asked, run_id=run_id),
        )
        return self.accepted(run)
