"""A libpq connection (psycopg 3) whose every wait is ours.

Statements travel in the extended protocol, of which the server takes one at a time, and in
pipeline mode: several of ours in one round trip, of which none runs after one that failed.
"""

from __future__ import annotations

import re
import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import pq

from .base import SourceParams
from .errors import QueryFailed, SourceError, SourceTimeout, SourceUnreachable
from .login import in_brief
from .receive_guard import Guarded, guard
from .watch import Watch, check_rows, too_large

MAX_MESSAGE = 1000
# libpq gives such a result again and again.
_COPYING = {pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH}


class PostgresConnection:
    """Sends statements and reads their results, under the watch of the current use."""

    def __init__(self, params: SourceParams, pgconn: pq.abc.PGconn, watch: Watch) -> None:
        self.params = params
        self.pgconn = pgconn
        self.watch = watch
        self.owed = 0  # synchronisations that the server has not answered yet
        self.guarded: Guarded | None = None
        pgconn.notice_handler = None
        pgconn.nonblocking = 1
        pgconn.enter_pipeline_mode()

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """End the connection when more comes in than the watch lets in."""
        outer = self.guarded
        try:
            with guard(self.fd, self.watch) as self.guarded:
                yield
        finally:
            self.guarded = outer

    @contextmanager
    def understanding(self) -> Iterator[None]:
        """Raise SourceUnreachable where a server answers what PostgreSQL never would."""
        try:
            yield
        except (ValueError, IndexError, TypeError) as exc:
            raise SourceUnreachable(
                f"{self.params.address} does not answer as PostgreSQL does.",
                hint="See the server's log.",
                stage=self.watch.stage,
            ) from exc

    @property
    def quiet(self) -> bool:
        """Nothing has come in: an idle server only speaks to say goodbye."""
        if self.pgconn.status != pq.ConnStatus.OK:
            return False
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return not poll.poll(0)

    @property
    def fd(self) -> int:
        try:
            return int(self.pgconn.socket)
        except psycopg.Error as exc:
            raise self.lost(exc) from exc

    # -- sending

    def queue(self, sql: bytes, params: Sequence[str | None] | None = None) -> None:
        """Add a statement to what the next `send` sends."""
        given = None if params is None else [p if p is None else p.encode() for p in params]
        self._queue(lambda: self.pgconn.send_query_params(sql, given))

    def queue_description(self, portal: bytes) -> None:
        """Ask for the columns of a cursor."""
        self._queue(lambda: self.pgconn.send_describe_portal(portal))

    def _queue(self, add: Callable[[], None]) -> None:
        try:
            add()
        except psycopg.Error as exc:
            raise self.lost(exc) from exc

    def send(self) -> None:
        """Send what was queued, as one unit: after an error the rest of it does not run."""
        try:
            self.pgconn.pipeline_sync()
            self.owed += 1
            while self.pgconn.flush():
                if self.watch.wait(self.fd, select.POLLIN | select.POLLOUT) & ~select.POLLOUT:
                    self.pgconn.consume_input()
        except psycopg.Error as exc:
            raise self.lost(exc) from exc

    # -- reading

    def run(self, *statements: bytes) -> None:
        """Run statements in one round trip. Raises QueryFailed of the first that fails."""
        for sql in statements:
            self.queue(sql)
        self.results()

    def rows(self, sql: str, params: Sequence[str | None] | None = None) -> list[list[str | None]]:
        """Run a query of our own and return its rows as text."""
        self.queue(sql.encode(), params)
        with self.guarding():
            result = self.results()[-1]
        check_rows(result.ntuples, self.watch)
        return [
            [_text(result.get_value(row, column)) for column in range(result.nfields)]
            for row in range(result.ntuples)
        ]

    def results(self, offset: int = 0) -> list[pq.abc.PGresult]:
        """Send what was queued and return the result of each.

        An error counts the characters of its statement after `offset`.
        """
        self.settle()
        self.send()
        found = list(self.remaining())
        for result in found:
            self.check(result, offset)
        return found

    def stream(self) -> Iterator[pq.abc.PGresult]:
        """Send the one query that was queued; yield a result for each row, as it comes in."""
        self.settle()
        self.send()
        self.pgconn.set_single_row_mode()
        failed = None
        for result in self.remaining():
            if result.status == pq.ExecStatus.FATAL_ERROR:
                failed = result  # raised at the end, when all that was sent is answered
            else:
                yield result
        if failed is not None:
            self.check(failed)

    def settle(self) -> None:
        """Read what is still to come of what was sent before."""
        while self.owed:
            for result in self.remaining():
                self.check(result)

    def remaining(self) -> Iterator[pq.abc.PGresult]:
        """Yield what has yet to come of the oldest unit that was sent."""
        while (result := self._next()) is None or result.status != pq.ExecStatus.PIPELINE_SYNC:
            if result is not None and result.status in _COPYING:
                raise self.lost(
                    psycopg.NotSupportedError("it began to copy, which nobody asked for")
                )
            if result is not None:
                yield result
        self.owed -= 1

    def _next(self) -> pq.abc.PGresult | None:
        """Return the next result; None parts the results of one statement from the next's."""
        try:
            while self.pgconn.is_busy():
                self.watch.wait(self.fd, select.POLLIN)
                self.pgconn.consume_input()
            result = self.pgconn.get_result()
        except psycopg.Error as exc:
            raise self.lost(exc) from exc
        if result is None and self.pgconn.status != pq.ConnStatus.OK:
            raise self.lost(psycopg.OperationalError(self.pgconn.get_error_message()))
        return result

    # -- what goes wrong

    def check(self, result: pq.abc.PGresult, offset: int = 0) -> None:
        """Raise what a result tells of."""
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise self._failure(result, offset)

    def lost(self, exc: Exception) -> SourceError:
        """Return the error for a connection that broke, or was shut for what came in on it."""
        if self.guarded is not None and self.guarded.tripped:
            return too_large(self.watch)
        return SourceUnreachable(
            f"The connection to {self.params.address} broke: {said(str(exc), self.params)}",
            hint="See the server's log.",
            stage=self.watch.stage,
        )

    def _failure(self, result: pq.abc.PGresult, offset: int) -> SourceError:
        field = pq.DiagnosticField
        parts = {
            name: (result.error_field(code) or b"").decode("utf-8", "replace")
            for name, code in (
                ("code", field.SQLSTATE),
                ("message", field.MESSAGE_PRIMARY),
                ("detail", field.MESSAGE_DETAIL),
                ("hint", field.MESSAGE_HINT),
                ("position", field.STATEMENT_POSITION),
            )
        }
        if not parts["code"]:
            return self.lost(psycopg.OperationalError(parts["message"]))
        if parts["code"] == "57014":
            return SourceTimeout("The query did not end in time and was cancelled.", stage="query")
        if parts["code"].startswith(("08", "57P")):
            return SourceUnreachable(
                f"{self.params.address} ended the connection: {parts['message']}.",
                hint="Try again, and see the server's log.",
                stage="query",
            )
        return QueryFailed(
            _query_message(parts, offset),
            database_code=parts["code"],
            hint=parts["hint"],
            stage="query",
        )


def _text(cell: bytes | None) -> str | None:
    return None if cell is None else cell.decode("utf-8", "replace")


def _query_message(parts: dict[str, str], offset: int) -> str:
    """Return the database's message, its detail, and where in the query it points."""
    message = parts["message"][:MAX_MESSAGE]
    if parts["detail"]:
        message += f" ({parts['detail'].rstrip('.')[:MAX_MESSAGE]})"
    if parts["code"] == "25006":
        message = f"The session is read-only: {message}"
    position = int(parts["position"] or 0) - offset
    return f"{message} (at character {position})" if position > 0 else message


def said(text: str, params: SourceParams) -> str:
    """Return the server's words on one line, without libpq's preamble and the password."""
    words = re.sub(r"^connection (failed|is bad): ", "", text)
    words = re.sub(r'connection to server at "[^"]*"(?: \([^)]*\))?, port \d+ failed: ', "", words)
    words = re.sub(r"(?:FATAL|ERROR):\s+", "", words)
    return in_brief(words, params) + "."
