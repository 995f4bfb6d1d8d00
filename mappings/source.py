"""What a mapping's source says of its query, without a row being read.

A source that did not answer is left in peace for a while: nobody's save waits for it again.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass

from bson import ObjectId

from common.context import client_address
from common.documents import store
from common.exceptions import ServiceError
from connections.models import Connection
from lineage import asking as lineage
from lineage.asking import NoLineage
from sources import preview, windows
from sources.contract import SourceParams
from sources.errors import (
    AnswerTooLarge,
    QueryFailed,
    SourceError,
    SourceTimeout,
    SourceUnreachable,
    StatementRefused,
    TooManyProbes,
)
from sources.preview import Survey

ASK_S = 3.0
PEACE_S = 30.0
DIALECTS = {"postgresql": "postgres", "mysql": "mysql"}

# Login, rights and names are answers; a source that gives them is there.
_ANSWERS = ("authentication_failed", "permission_denied", "unknown_database")
_FULL = "too_many_connections"
# SQLSTATE's classes, and MySQL's numbers, of a database that cannot just now.
_NOT_NOW = ("08", "40", "53", "55", "57", "58", "XX")
_NOT_NOW_NUMBERS = ("1037", "1038", "1040", "1041", "1053", "1205", "1213")


@dataclass(frozen=True)
class Answer:
    """What a source said of a query: its survey, or a code and a sentence why there is none.

    `refused` tells that the database, or the service, will not run the query.
    """

    query: str
    """The digest of what was asked; see `digest`."""
    survey: Survey | None = None
    code: str = ""
    message: str = ""
    refused: bool = False


def digest(connection_id: ObjectId | None, sql: str) -> str:
    """Return what stands for a query of a connection."""
    return hashlib.sha256(f"{connection_id}\n{sql}".encode("utf-8", "replace")).hexdigest()


class Silent:
    """The sources that did not answer a moment ago, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[Hashable, tuple[float, str]] = {}

    def said(self, source: Hashable) -> str | None:
        """Return why a source is left in peace, None where it may be asked."""
        with self._lock:
            until, message = self._until.get(source, (0.0, ""))
            return message if until > time.monotonic() else None

    def note(self, source: Hashable, message: str) -> None:
        now = time.monotonic()
        with self._lock:
            self._until = {key: kept for key, kept in self._until.items() if kept[0] > now}
            self._until[source] = (now + PEACE_S, message)

    def forget(self, source: Hashable | None = None) -> None:
        """Let a source be asked again, or all."""
        with self._lock:
            self._until = {} if source is None else self._without(source)

    def _without(self, source: Hashable) -> dict[Hashable, tuple[float, str]]:
        return {key: kept for key, kept in self._until.items() if key != source}


silent = Silent()


def ask(
    connection_id: ObjectId,
    sql: str,
    timeout_s: float = ASK_S,
    patient: bool = False,
    tables: bool = True,
) -> Answer:
    """Return what the source says of a query within `timeout_s`; never raises for its trouble.

    Who is `patient` asks a source that was silent, too. Without `tables` those that the query
    names are not looked for.
    """
    asked = digest(connection_id, sql)
    try:
        params = _params(connection_id)
    except ServiceError as refusal:
        return Answer(asked, code="secret_unreadable", message=refusal.detail)
    if params is None:
        return Answer(asked, code="connection_gone", message="There is no such connection.")
    if not patient and (said := silent.said(params)):
        message = f"The source was not asked again, as it did not answer a moment ago. {said}"
        return Answer(asked, code="source_unreachable", message=message)
    filled = windows.fill_last_day(sql, params.kind, store.now())
    names = _tables(filled, params.kind) if tables else []
    return _asked(asked, params, filled, names, timeout_s)


def _params(connection_id: ObjectId) -> SourceParams | None:
    found = store.find_one(Connection, {"_id": connection_id})
    return Connection.from_document(found).params() if found else None


def _asked(
    asked: str,
    params: SourceParams,
    sql: str,
    names: list[tuple[str | None, str]],
    timeout_s: float,
) -> Answer:
    try:
        found = preview.survey(params, sql, names, timeout_s, client_address())
    except SourceError as trouble:
        answer = _refusal(asked, trouble)
        if _is_silence(trouble):
            silent.note(params, answer.message)
        return answer
    silent.forget(params)
    return Answer(asked, found)


def _tables(sql: str, kind: str) -> list[tuple[str | None, str]]:
    """Return the tables that a query names, as far as that can be told."""
    try:
        return lineage.tables_of(sql, DIALECTS[kind])
    except (NoLineage, KeyError):
        return []


def _refusal(asked: str, trouble: SourceError) -> Answer:
    hint = f" {trouble.hint}" if trouble.hint else ""
    match trouble:
        case StatementRefused():
            return Answer(asked, None, "query_refused", trouble.message, refused=True)
        case QueryFailed() if not _is_not_now(trouble.database_code):
            return Answer(asked, None, "query_refused", trouble.message, refused=True)
        case QueryFailed() | AnswerTooLarge():
            code = "source_unreachable"
        case TooManyProbes():
            code = "busy"
        case SourceTimeout():
            code = "source_timeout"
        case _ if trouble.error_code == "authentication_failed":
            code = trouble.error_code
        case _:
            code = "source_unreachable"
    return Answer(asked, None, code, f"{trouble.message}{hint}")


def _is_not_now(database_code: str) -> bool:
    is_state = len(database_code) == 5
    return database_code[:2] in _NOT_NOW if is_state else database_code in _NOT_NOW_NUMBERS


def _is_silence(trouble: SourceError) -> bool:
    """Tell whether nobody answered; a query that takes long is no silence, nor is a refusal."""
    if isinstance(trouble, SourceTimeout):
        return trouble.stage not in ("", "query")
    is_there = trouble.error_code in (*_ANSWERS, _FULL)
    return isinstance(trouble, SourceUnreachable) and not is_there
