"""The service's side: it asks children about sources, and tells what became of those that failed.

Nothing of a stranger's server or statement is met in the process that calls these functions.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from children.host import Child, ChildError, ChildFailed, ChildGone, ChildLate, Host
from children.places import PATIENCE_S, NoPlace, Places
from children.pool import Pool, PoolBusy, PoolLimits
from sources.contract import Json, SourceParams
from sources.errors import (
    AnswerTooLarge,
    SourceError,
    SourceTimeout,
    SourceUnreachable,
    StatementRefused,
    TooManyPreviews,
    TooManyProbes,
    from_json,
)
from sources.kinds import KINDS
from sources.marks import Marks

logger = logging.getLogger(__name__)

SERVING = "sources.serving"
# Other processes end what they keep idle within a quarter of a second. The pauses differ, so that
# those who wait for the one connection of an account do not all ask at once again.
FULL_PAUSE_S = (0.1, 0.5)
FULL_PATIENCE_S = 3.5

marks = Marks()
host = Host([SERVING])
pool = Pool(
    host,
    full=lambda params: isinstance(params, SourceParams) and marks.full(params),
    kept_after=frozenset(("QueryFailed", "StatementRefused")),
)
probes = Places("probes", 50)
queries = Places("queries", 32)


def configure(
    max_probes: int | None = None,
    max_queries: int | None = None,
    shared: Path | None = None,
    limits: PoolLimits | None = None,
) -> None:
    """Set how many tests and queries may run at once in all processes that share a folder."""
    probes.limit, queries.limit = max_probes or probes.limit, max_queries or queries.limit
    probes.shared = queries.shared = marks.shared = shared or probes.shared
    pool.limits = limits or pool.limits


@contextmanager
def place_for_probe(params: SourceParams, client: str) -> Iterator[float]:
    """Hold one of the places for tests. Yields the seconds waited, less the usual one.

    Raises TooManyProbes.
    """
    with _place(probes, TooManyProbes, "connection tests", params, client) as late_s:
        yield late_s


@contextmanager
def place_for_query(params: SourceParams, client: str) -> Iterator[float]:
    """Hold one of the places for queries, as `place_for_probe`. Raises TooManyPreviews."""
    with _place(queries, TooManyPreviews, "queries", params, client) as late_s:
        yield late_s


@contextmanager
def _place(
    places: Places, error: type[TooManyProbes], what: str, params: SourceParams, client: str
) -> Iterator[float]:
    started = time.monotonic()
    try:
        taken = places.take(client, params.address)
        taken.__enter__()
    except NoPlace as exc:
        raise error(
            f"{places.limit} {what} are running already; try again in a few seconds.",
            hint="Wait for one of them to end.",
        ) from exc
    try:
        yield max(0.0, time.monotonic() - started - PATIENCE_S)
    finally:
        taken.__exit__(None, None, None)


Told = Callable[[str, str, str], None]


def _tell_nobody(call: str, kind: str, outcome: str) -> None:
    """Until somebody wants to know."""


told: Told = _tell_nobody
"""Called with each question, the kind of its source, and `success` or the code of an error."""


@contextmanager
def _counted(call: str, params: SourceParams) -> Iterator[None]:
    kind = params.kind if params.kind in KINDS else "unknown"
    try:
        yield
    except SourceError as exc:
        told(call, kind, exc.error_code)
        raise
    told(call, kind, "success")


def alone(call: str, params: SourceParams, timeout_s: float) -> Json:
    """Ask a child that is started for this question and ended after it. Raises SourceError."""
    with _counted(call, params):
        check_params(params)
        deadline = time.monotonic() + timeout_s
        return _unless_full(params, deadline, lambda: _alone(call, params, deadline))


def _alone(call: str, params: SourceParams, deadline: float) -> Json:
    left_s = max(0.05, deadline - time.monotonic())
    started = host.start(pool.child_limits)
    try:
        with _told(params, left_s):
            answer = _asked(started, call, params, left_s, deadline)
    except SourceTimeout:
        started.stop()
        raise
    except BaseException:
        started.kill()
        raise
    started.kill()
    return answer


def pooled(call: str, params: SourceParams, timeout_s: float, **arguments: Json) -> Json:
    """Ask a child that keeps its session for the next question. Raises SourceError."""
    with _counted(call, params):
        check_params(params)
        deadline = time.monotonic() + timeout_s
        return _unless_full(
            params, deadline, lambda: _pooled(call, params, timeout_s, deadline, arguments)
        )


def _pooled(
    call: str,
    params: SourceParams,
    timeout_s: float,
    deadline: float,
    arguments: dict[str, Json],
) -> Json:
    with _told(params, timeout_s):
        for attempt in (1, 2):
            try:
                with pool.child(params, deadline) as child:
                    fresh = child.uses == 0
                    left_s = max(0.05, deadline - time.monotonic())
                    return _asked(child, call, params, left_s, deadline, **arguments)
            except ChildGone:
                if fresh or attempt == 2:
                    raise
        raise AssertionError("unreachable")


def _asked(
    child: Child,
    call: str,
    params: SourceParams,
    timeout_s: float,
    deadline: float,
    **arguments: Json,
) -> Json:
    """Return a child's answer. What is new and has told nothing has not got to its work."""
    unsaid = None if child.uses else "start"
    given = {"params": params.to_json(), "timeout_s": timeout_s, **arguments}
    try:
        return child.ask(f"{SERVING}:{call}", given, deadline)
    except ChildLate as exc:
        raise ChildLate(exc.note or unsaid) from exc


def check_params(params: SourceParams) -> None:
    """Raise SourceUnreachable for what no driver should be given."""
    if params.kind not in KINDS:
        raise SourceUnreachable(
            f'"{params.kind}" is not a kind of database known here.',
            hint=f"Choose one of {', '.join(KINDS)}.",
        )
    if not 1 <= params.port <= 65535:
        raise SourceUnreachable(
            f"The port {params.port} is not between 1 and 65535.", hint="Correct it.", stage="port"
        )
    for name in ("host", "database", "username", "password"):
        value = getattr(params, name)
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise SourceUnreachable(
                f"The {name} contains a character that no database takes.",
                hint="Leave it out.",
                stage="login",
            )


def _unless_full(params: SourceParams, deadline: float, work: Callable[[], Json]) -> Json:
    """Do `work`, again where the source has no room left: what is kept idle is given up."""
    until = min(time.monotonic() + FULL_PATIENCE_S, deadline - 2 * FULL_PAUSE_S[1])
    while True:
        try:
            return work()
        except SourceUnreachable as exc:
            if exc.error_code != "too_many_connections" or time.monotonic() > until:
                raise
        marks.mark_full(params)
        pool.close_idle(params)
        time.sleep(random.uniform(*FULL_PAUSE_S))  # noqa: S311 - no secret


@contextmanager
def _told(params: SourceParams, timeout_s: float) -> Iterator[None]:
    """Raise what became of a child as the trouble with the source that it is."""
    try:
        yield
    except ChildFailed as exc:
        raise as_error(exc, params) from exc
    except ChildLate as exc:
        raise timed_out(params, exc.note or "query", timeout_s) from exc
    except PoolBusy as exc:
        raise SourceTimeout(
            f"All connections to {params.address} were busy until the time was up.",
            hint="Try again when the running previews have ended.",
        ) from exc
    except ChildGone as exc:
        raise _crashed(params, exc.note or "query") from exc
    except ChildError as exc:
        raise SourceError(f"No process could be started for {params.address}: {exc}") from exc


def as_error(exc: ChildFailed, params: SourceParams | None) -> SourceError:
    """Return the error that a child told of."""
    if exc.code == "out_of_memory":
        return AnswerTooLarge(
            "The query's answer needs more memory than a preview may use.",
            hint="Select fewer or shorter columns, for example left(column, 1000).",
            stage="query",
        )
    if exc.code == "unforeseen":
        logger.error("A source was met by something unforeseen: %s", exc.details)
        where = f" of {params.address}" if params else ""
        return SourceError(
            f"The request{where} failed unexpectedly.", hint="See this service's log."
        )
    return from_json(exc.code, exc.details)


def _crashed(params: SourceParams, stage: str) -> SourceError:
    if stage == "query":
        return StatementRefused(
            "The query was given up: it, or its answer, needs more than a preview may use."
        )
    return SourceUnreachable(
        f"{params.address} sent what the driver could not bear.",
        error_code="not_this_database",
        hint="Check the port and the kind of database.",
        stage=stage,
    )


def timed_out(params: SourceParams, stage: str, timeout_s: float) -> SourceTimeout:
    """Return the error for a source that was silent, or slow, at `stage`."""
    title = KINDS[params.kind].title
    words = {
        "start": (
            f"No process was ready in time to ask {params.address}.",
            "This service is busy: try again.",
        ),
        "name": (
            f'The name "{params.host}" could not be looked up in time.',
            "Check the name and this machine's DNS, or use the address in its place.",
        ),
        "port": (
            f"{params.address} did not answer in time.",
            "Check the host and port, and that no firewall drops the connection.",
        ),
        "ssh": (
            f"SSH server {params.ssh.host}:{params.ssh.port} did not answer in time."
            if params.ssh
            else "",
            "Check the tunnel's host and port.",
        ),
        "query": (
            f"The query did not end within {round(timeout_s, 1):g} s and was cancelled.",
            "Select fewer rows, or filter on an indexed column.",
        ),
    }
    silent = (
        f"{params.address} accepted the connection, but did not answer as {title} in time.",
        f"Check that {KINDS[params.kind].label} listens on that port and is not overloaded.",
    )
    message, hint = words.get(stage, silent)
    return SourceTimeout(message, hint=hint, stage=stage)
