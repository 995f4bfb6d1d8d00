"""What every record shares: its ids and moments, its ETag, lists and conditional requests."""

from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Any
from urllib.parse import urlencode

import bson
from bson import ObjectId
from bson.errors import InvalidId
from fastapi import Path, Request, Response
from peer.database import Document
from peer.problems import stale
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
)
from pymongo.collection import Collection

NEWEST_FIRST = [("updated_at", -1), ("_id", -1)]


def iso_utc(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def object_id(text: str) -> ObjectId:
    try:
        return ObjectId(text)
    except InvalidId:
        raise ValueError("Not an id: expected 24 hexadecimal digits.") from None


PathId = Annotated[str, Path(pattern="^[0-9a-fA-F]{24}$")]
Id = Annotated[str, BeforeValidator(str)]
Reference = Annotated[str, AfterValidator(object_id)]
Moment = Annotated[datetime, PlainSerializer(iso_utc, return_type=str, when_used="json")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Ignored = Annotated[Any, Field(exclude=True)]


class Body(BaseModel):
    """What a client sends. A record can be sent back whole: what only we write is ignored."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    id: Ignored = None
    stored_id: Annotated[Ignored, Field(alias="_id")] = None
    created_at: Ignored = None
    updated_at: Ignored = None


class Record(BaseModel):
    """What a client gets."""

    id: Id = Field(validation_alias="_id")
    stored_id: Id = Field(alias="_id")
    created_at: Moment | None = None
    updated_at: Moment | None = None


# --- One record ----------------------------------------------------------------------------------


def etag_of(document: Document) -> str:
    """Return the strong ETag of a record: made of all that is stored, whoever wrote it."""
    return f'"{blake2b(bson.encode(document), digest_size=16).hexdigest()}"'


def record_response(record: type[Record], document: Document, status: int = 200) -> Response:
    body = record.model_validate(document).model_dump_json(by_alias=True)
    return Response(body, status, {"ETag": etag_of(document)}, "application/json")


def is_unchanged(request: Request, document: Document) -> Response | None:
    """Return the 304 for a client that holds this very document."""
    held = request.headers.get("if-none-match")
    if held is None or not _names(held, etag := etag_of(document)):
        return None
    return Response(status_code=304, headers={"ETag": etag})


def refuse_if_stale(request: Request, document: Document) -> None:
    wanted = request.headers.get("if-match")
    if wanted is not None and not _names(wanted, etag_of(document)):
        raise stale()


def _names(tags: str, current: str) -> bool:
    listed = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    return current in listed or "*" in listed


# --- Lists ---------------------------------------------------------------------------------------


class Page(BaseModel):
    """The query parameters that every list takes."""

    model_config = ConfigDict(extra="forbid")

    limit: int | None = Field(None, ge=1, le=2**31 - 1)
    offset: int = Field(0, ge=0, le=2**31 - 1)


def list_response(
    request: Request,
    collection: Collection[Document],
    page: Page,
    adapter: TypeAdapter[Any],
    scope: Document | None = None,
    order: Sequence[tuple[str, int]] = NEWEST_FIRST,
    shown: Callable[[Document], Document] | None = None,
) -> Response:
    """Answer with a page of the records in `scope`; `shown` changes each of them first."""
    filters = page.model_dump(exclude={"limit", "offset"}, exclude_none=True)
    condition = {**(scope or {}), **filters}
    total = (
        collection.count_documents(condition)
        if condition
        else collection.estimated_document_count()
    )
    documents = collection.find(
        condition, sort=order, skip=page.offset, limit=page.limit or 0
    ).to_list()
    if shown:
        documents = [shown(document) for document in documents]
    body = adapter.dump_json(adapter.validate_python(documents), by_alias=True)
    headers = {"X-Total-Count": str(total)}
    if page.limit:
        headers["Link"] = _links(request, page.limit, page.offset, total)
    return Response(body, headers=headers, media_type="application/json")


def _links(request: Request, limit: int, offset: int, total: int) -> str:
    offsets = {"first": 0, "last": max(total - 1, 0) // limit * limit}
    if offset > 0:
        offsets["prev"] = max(offset - limit, 0)
    if offset + limit < total:
        offsets["next"] = offset + limit
    asked = [pair for pair in request.query_params.multi_items() if pair[0] != "offset"]
    address = f"{request.url.replace(query='')}?{urlencode(asked)}"
    return ", ".join(f'<{address}&offset={at}>; rel="{rel}"' for rel, at in offsets.items())
