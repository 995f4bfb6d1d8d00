"""What the tests share: a client of the API, bodies that are right, documents as others write them.

`Api` speaks to the service in this process or over a socket, and answers alike from both.
"""

import http.client
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any
from urllib.parse import quote

from bson import ObjectId
from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from pymongo.database import Database

PREFIX = settings.API_V1_PREFIX
JSON = "application/json"
OUT_OF_THE_WAY = 30.0

NOBODY = ObjectId("00000000000000000000abcd")
PASSWORD = "p4ss-word-nobody-may-see"

number = count(1)


@dataclass(frozen=True)
class Answer:
    """An answer of the service; `headers` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def etag(self) -> str:
        return self.headers["etag"]

    @property
    def code(self) -> str:
        return self.json()["code"]

    @property
    def detail(self) -> str:
        return self.json()["detail"]

    @property
    def errors(self) -> dict[str, tuple[str, str]]:
        """Return code and message by field, of a refusal that names fields."""
        return {
            error["field"]: (error["code"], error["message"]) for error in self.json()["errors"]
        }

    @property
    def codes(self) -> dict[str, str]:
        return {name: code for name, (code, _) in self.errors.items()}

    @property
    def messages(self) -> dict[str, str]:
        return {name: message for name, (_, message) in self.errors.items()}


Send = Callable[[str, str, dict[str, str], bytes], Answer]


@dataclass(frozen=True)
class Api:
    """A client. A path that starts with `/` is taken whole, any other below the API's prefix."""

    send: Send
    headers: dict[str, str] = field(default_factory=dict)

    def request(
        self, method: str, path: str, body: Any = None, raw: bytes | None = None, **headers: str
    ) -> Answer:
        """Send `body` as JSON, or `raw` as it is; `If_Match=…` becomes the header `If-Match`."""
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        if content:
            sent.setdefault("Content-Type", JSON)
        address = path if path.startswith("/") else f"{PREFIX}/{path}"
        return self.send(method, address, sent, content)

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.request("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> Answer:
        return self.request("PUT", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Answer:
        return self.request("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Answer:
        return self.request("DELETE", path, **headers)

    def create(self, path: str, body: Any) -> Any:
        """Return the record that a POST makes."""
        answer = self.post(path, body)
        assert answer.status == 201, answer.body
        return answer.json()

    def names(self, path: str) -> list[str]:
        """Return the names of a list's records, in its order."""
        answer = self.get(path)
        assert answer.status == 200, answer.body
        return [record["name"] for record in answer.json()]


def in_process() -> Api:
    """Return a client of the service in this process."""
    client = Client(raise_request_exception=False)

    def send(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        content_type = {name.lower(): value for name, value in headers.items()}.get("content-type")
        response = client.generic(
            method, path, body, content_type=content_type or "", headers=headers
        )
        return _answer(response)

    return Api(send)


def _answer(response: HttpResponse) -> Answer:
    body = b"".join(response) if response.streaming else response.content
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, body)


def over_http(host: str, port: int) -> Api:
    """Return a client of a service elsewhere; each request has a connection of its own."""

    def send(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(host, port, timeout=OUT_OF_THE_WAY)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    return Api(send)


def followed(api: Api, address: str) -> list[dict[str, Any]]:
    """Return the records of all pages, from one `next` to the next."""
    records = []
    while address:
        answer = api.get(address)
        records += answer.json()
        following = re.search(r'<([^>]*)>; rel="next"', answer.headers.get("link", ""))
        address = following[1].removeprefix("http://testserver") if following else ""
    return records


def query(**parameters: str) -> str:
    return "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())


# --- Bodies --------------------------------------------------------------------------------------


def connection_body(**changes: Any) -> dict[str, Any]:
    return {
        "name": f"connection {next(number)}",
        "db_type": "postgresql",
        "host": "db.example.com",
        "port": 5432,
        "database": "shop",
        "username": "etl",
        "password": PASSWORD,
    } | changes


def column(name: str, data_type: str = "string") -> dict[str, str]:
    return {"name": name, "data_type": data_type}


def schema_body(*columns: str, **changes: Any) -> dict[str, Any]:
    """Return a schema of string columns: `id`, `name` and `email` unless named otherwise."""
    return {
        "name": f"schema {next(number)}",
        "description": None,
        "columns": [column(name) for name in columns or ("id", "name", "email")],
    } | changes


def mapping_body(api: Api, **changes: Any) -> dict[str, Any]:
    """Return a mapping's body, on a new connection and a new schema unless both are given."""
    references = {
        "source_connection_id": lambda: api.create("connections", connection_body())["id"],
        "target_schema_id": lambda: api.create("schemas", schema_body())["id"],
    }
    return (
        {"name": f"mapping {next(number)}", "source_query": "SELECT id, name FROM customers"}
        | {name: make() for name, make in references.items() if name not in changes}
        | changes
    )


def schedule_body(api: Api, **changes: Any) -> dict[str, Any]:
    if "mapping_id" not in changes:
        changes["mapping_id"] = api.create("mappings", mapping_body(api))["id"]
    return {"name": f"schedule {next(number)}", "cron_expression": "0 6 * * *"} | changes


KINDS = ("connections", "schemas", "mappings", "schedules")


def body(api: Api, kind: str, **changes: Any) -> dict[str, Any]:
    """Return a body that a POST to `kind` takes."""
    match kind:
        case "connections":
            return connection_body(**changes)
        case "schemas":
            return schema_body(**changes)
        case "mappings":
            return mapping_body(api, **changes)
    return schedule_body(api, **changes)


def made(api: Api, kind: str, **changes: Any) -> Any:
    """Return a new record of `kind`."""
    return api.create(kind, body(api, kind, **changes))


def direct(source: str = "id", target: str = "id") -> dict[str, Any]:
    return {"type": "direct", "source_columns": [source], "target_fields": [target]}


def split(*targets: str, source: str = "full", delimiter: str = " ") -> dict[str, Any]:
    return {
        "type": "split",
        "source_columns": [source],
        "target_fields": list(targets),
        "config": {"delimiter": delimiter},
    }


def join(*sources: str, target: str = "name", separator: str = " ") -> dict[str, Any]:
    return {
        "type": "join",
        "source_columns": list(sources),
        "target_fields": [target],
        "config": {"separator": separator},
    }


# --- Documents as another program writes them: the fields of the first design, no more ------------


def connection_document(**changes: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "name": f"stored connection {next(number)}",
        "db_type": "mysql",
        "host": "db.example.com",
        "port": 3306,
        "database": "shop",
        "username": "etl",
        "password": "gAAAAA",
        **moments(),
        "last_tested_at": None,
        "last_test_status": None,
    } | changes


def schema_document(**changes: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "name": f"stored schema {next(number)}",
        "description": None,
        "columns": [column("id"), column("name")],
        **moments(),
    } | changes


def mapping_document(**changes: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "name": f"stored mapping {next(number)}",
        "description": None,
        "source_connection_id": ObjectId(),
        "source_query": "SELECT 1",
        "target_schema_id": ObjectId(),
        **moments(),
    } | changes


def column_mapping_document(**changes: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "mapping_id": ObjectId(),
        "type": "direct",
        "source_columns": ["id"],
        "target_fields": ["id"],
        "config": {"delimiter": None, "separator": None},
        **moments(),
    } | changes


def schedule_document(**changes: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "name": f"stored schedule {next(number)}",
        "mapping_id": ObjectId(),
        "cron_expression": "0 6 * * *",
        "enabled": True,
        **moments(),
        "last_run_at": None,
        "next_run_at": None,
    } | changes


def token_document(**changes: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "name": f"stored token {next(number)}",
        "prefix": "etl_abcdef",
        "hash": f"{next(number):064x}",
        "role": "viewer",
        "owner_id": None,
        "expires_at": None,
        "last_used_at": None,
        **moments(),
    } | changes


def target_document(**changes: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "name": f"stored target {next(number)}",
        "kind": "delta",
        "uri": "s3://lake/a",
        "connection_id": None,
        "db_schema": None,
        "credentials": None,
        **moments(),
    } | changes


def notification_document(**changes: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "name": f"stored notification {next(number)}",
        "kind": "webhook",
        "url": "gAAAAA",
        "url_shown": "https://hooks.example.com:443",
        "secret": None,
        "events": ["failed"],
        "mapping_ids": None,
        "enabled": True,
        **moments(),
    } | changes


REFERENCES = {
    "mappings": {"source_connection_id": "connections", "target_schema_id": "schemas"},
    "column_mappings": {"mapping_id": "mappings"},
    "schedules": {"mapping_id": "mappings"},
}


def document(database: Database[Any], kind: str, /, **changes: Any) -> dict[str, Any]:
    """Store a document of `kind`, with what it refers to, as another program would."""
    for name, referred in REFERENCES.get(kind, {}).items():
        if name not in changes:
            changes[name] = document(database, referred)["_id"]
    makers = {
        "connections": connection_document,
        "schemas": schema_document,
        "mappings": mapping_document,
        "column_mappings": column_mapping_document,
        "schedules": schedule_document,
        "tokens": token_document,
        "targets": target_document,
        "notifications": notification_document,
    }
    stored = makers[kind](**changes)
    database[kind].insert_one(stored)
    return stored


def moments() -> dict[str, datetime]:
    moment = datetime(2026, 1, 31, 8, 0, 0, 123000)  # noqa: DTZ001 - as the driver hands it over
    return {"created_at": moment, "updated_at": moment}
