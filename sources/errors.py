"""What can go wrong with a source database.

SourceError
├── SourceUnreachable     nothing useful answers there, or it refuses the login
├── SourceTimeout         it stayed silent, or the query took too long
├── QueryFailed           the database refused the query
├── StatementRefused      the statement is not one that only reads
├── AnswerTooLarge        one row alone is more than a preview may hold
└── TooManyProbes         as many tests are running as may run
    └── TooManyPreviews   as many queries are running as may run
"""

from __future__ import annotations

from typing import Any


class SourceError(Exception):
    """`message` is one sentence without a secret in it; `hint` says what to do, or is empty.

    `error_code` is one of the codes that a connection test answers with; `stage` is the step that
    failed: name, port, ssh, tls, login, database or query, or empty.
    """

    error_code = "unknown"

    def __init__(
        self, message: str, *, error_code: str = "", hint: str = "", stage: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = error_code or self.error_code
        self.hint = hint
        self.stage = stage


class SourceUnreachable(SourceError):
    """The source cannot be reached, or refuses the login."""


class SourceTimeout(SourceError):
    """The source did not answer, or the query did not end, before the deadline."""

    error_code = "timeout"


class QueryFailed(SourceError):
    """The database's own message; `database_code` is its SQLSTATE or error number."""

    error_code = "query_failed"

    def __init__(self, message: str, *, database_code: str = "", **more: str) -> None:
        super().__init__(message, **more)
        self.database_code = database_code


class StatementRefused(SourceError):
    """The guard's verdict; `line` and `column` count from 1, or are None without a place."""

    error_code = "statement_refused"

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class AnswerTooLarge(SourceError):
    """The database sends more than a preview may hold in memory."""

    error_code = "answer_too_large"


class TooManyProbes(SourceError):
    """Every slot for a connection test is taken by a running one."""

    error_code = "too_many_probes"


class TooManyPreviews(TooManyProbes):
    """Every slot for a query is taken by a running one."""

    error_code = "too_many_previews"


_ACROSS = {
    kind.__name__: kind
    for kind in (SourceUnreachable, SourceTimeout, QueryFailed, StatementRefused, AnswerTooLarge)
}


def to_json(error: SourceError) -> tuple[str, dict[str, Any]]:
    """Return the name and the content of an error, for `from_json` in another process."""
    name = next(name for name, kind in _ACROSS.items() if isinstance(error, kind))
    return name, {key: value for key, value in vars(error).items() if not key.startswith("_")}


def from_json(name: str, content: dict[str, Any]) -> SourceError:
    """Return the error that `to_json` told of."""
    error = _ACROSS[name](content["message"])
    vars(error).update(content)
    return error


def too_many_rows(limit: int) -> AnswerTooLarge:
    """Return the error for more rows than any catalogue has."""
    return AnswerTooLarge(
        f"The source tells of more than {limit:,} tables or columns.", stage="query"
    )
