"""Connections: source databases and the accounts that read them."""

from typing import Annotated, Literal

from bson import ObjectId
from fastapi import APIRouter, Query, Request, Response
from peer import crypto, database
from peer.database import Document
from peer.problems import Invalid, Problem, duplicate_name, names_clash, not_found, stale
from peer.records import (
    Body,
    Ignored,
    Moment,
    Name,
    Page,
    PathId,
    Record,
    is_unchanged,
    list_response,
    record_response,
    refuse_if_stale,
)
from pydantic import Field, StringConstraints, TypeAdapter
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

NOUN = "connection"
DEFAULT_PORTS = {"mysql": 3306, "postgresql": 5432}
SECRETS = ("password", "ssl_key", "ssh_password", "ssh_private_key")

DbType = Literal["mysql", "postgresql"]
SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
Host = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\w.:%\[\]-]+$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Certificate = Annotated[str, StringConstraints(max_length=100_000)]


Secret = Annotated[str, StringConstraints(strip_whitespace=False, min_length=1, max_length=1000)]
SecretKey = Annotated[
    str, StringConstraints(strip_whitespace=False, min_length=1, max_length=100_000)
]


class ConnectionUpdate(Body):
    """The fields to change; none is required, and null only where a record may hold it."""

    name: Name = None
    db_type: DbType = None
    host: Host = None
    port: Port = None
    database: Text = None
    username: Text = None
    password: Secret | Literal[""] | None = None
    ssl_mode: SslMode = "prefer"
    ssl_ca: Certificate | None = None
    ssl_cert: Certificate | None = None
    ssl_key: SecretKey | Literal[""] | None = None
    ssh_host: Host | None = None
    ssh_port: Port = 22
    ssh_username: Text | None = None
    ssh_password: Secret | Literal[""] | None = None
    ssh_private_key: SecretKey | Literal[""] | None = None
    ssh_host_key: Annotated[str, StringConstraints(max_length=10_000)] | None = None
    secrets_from: dict[str, str] | None = None
    last_tested_at: Ignored = None
    last_test_status: Ignored = None
    last_test_message: Ignored = None
    last_test_error_code: Ignored = None

    def changes(self) -> Document:
        """Return what was sent, secrets encrypted; an empty one keeps what is stored."""
        sent = self.model_dump(exclude_unset=True)
        for name in SECRETS:
            if sent.get(name):
                sent[name] = crypto.encrypt(sent[name])
            elif name in sent and (name == "password" or sent[name] == ""):
                del sent[name]
        return sent


class ConnectionCreate(ConnectionUpdate):
    name: Name
    db_type: DbType
    host: Host
    database: Text
    username: Text
    password: Secret

    def document(self) -> Document:
        """Return the whole document to store."""
        moment = database.now()
        document = {
            **self.model_dump(),
            "created_at": moment,
            "updated_at": moment,
            "last_tested_at": None,
            "last_test_status": None,
            "last_test_message": None,
            "last_test_error_code": None,
        }
        secrets = {name: crypto.encrypt(document[name]) for name in SECRETS if document[name]}
        return document | secrets


class Connection(Record):
    name: str
    db_type: str
    host: str
    port: int
    database: str
    username: str
    ssl_mode: str = "prefer"
    ssl_ca: str | None = None
    ssl_cert: str | None = None
    ssh_host: str | None = None
    ssh_port: int = 22
    ssh_username: str | None = None
    ssh_host_key: str | None = None
    secrets_from: dict[str, str] | None = None
    last_tested_at: Moment | None = None
    last_test_status: str | None = None
    last_test_message: str | None = None
    last_test_error_code: str | None = None


connection_list = TypeAdapter(list[Connection])
router = APIRouter(prefix="/connections", tags=["connections"])


class ConnectionPage(Page):
    """The filters that connections have."""

    name: str | None = None
    db_type: DbType | None = None
    host: str | None = None


@router.get("", response_model=list[Connection])
def list_connections(request: Request, page: Annotated[ConnectionPage, Query()]) -> Response:
    return list_response(request, database.connections, page, connection_list)


@router.post("", status_code=201, response_model=Connection)
def create_connection(request: Request, body: ConnectionCreate) -> Response:
    document = completed(body.document())
    try:
        database.connections.insert_one(document)
    except DuplicateKeyError as clash:
        raise renamed(clash, document["name"]) from clash
    response = record_response(Connection, document, 201)
    response.headers["Location"] = f"{str(request.url).rstrip('/')}/{document['_id']}"
    return response


@router.get("/{identifier}", response_model=Connection)
def read_connection(request: Request, identifier: PathId) -> Response:
    document = stored(identifier)
    return is_unchanged(request, document) or record_response(Connection, document)


@router.put("/{identifier}", response_model=Connection)
@router.patch("/{identifier}", response_model=Connection)
def update_connection(request: Request, identifier: PathId, body: ConnectionUpdate) -> Response:
    changes = body.changes()
    while True:
        document = stored(identifier)
        refuse_if_stale(request, document)
        completed({**document, **changes})
        try:
            after = database.connections.find_one_and_update(
                {"_id": document["_id"], "updated_at": document["updated_at"]},
                {"$set": {**changes, "updated_at": database.now()}},
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError as clash:
            raise renamed(clash, changes["name"]) from clash
        if after is not None:
            return record_response(Connection, after)


@router.delete("/{identifier}", status_code=204)
def delete_connection(request: Request, identifier: PathId) -> Response:
    document = stored(identifier)
    refuse_if_stale(request, document)
    users = database.mappings.find({"source_connection_id": document["_id"]}, {"name": 1}, limit=10)
    if names := sorted(user["name"] for user in users):
        listed = ", ".join(f'"{name}"' for name in names)
        raise Problem(409, "in_use", f'"{document["name"]}" is in use by the mappings {listed}.')
    condition = {"_id": document["_id"], "updated_at": document["updated_at"]}
    if not database.connections.delete_one(condition).deleted_count:
        raise stale()
    return Response(status_code=204)


def stored(identifier: str) -> Document:
    document = database.connections.find_one({"_id": ObjectId(identifier)})
    if document is None:
        raise not_found(NOUN, identifier)
    return document


def completed(document: Document) -> Document:
    """Return the document with its default port, once its fields agree with each other."""
    if document["port"] is None:
        document["port"] = DEFAULT_PORTS[document["db_type"]]
    missing = []
    if bool(document["ssl_cert"]) != bool(document["ssl_key"]):
        missing.append("ssl_key" if document["ssl_cert"] else "ssl_cert")
    if document["ssh_host"]:
        missing += [name for name in ("ssh_username", "ssh_host_key") if not document[name]]
        if not (document["ssh_password"] or document["ssh_private_key"]):
            missing.append("ssh_private_key")
    if missing:
        raise Invalid(*((name, "required", "Required with the others.") for name in missing))
    return document


def renamed(clash: DuplicateKeyError, name: str) -> Exception:
    return duplicate_name(NOUN, name) if names_clash(clash) else clash
