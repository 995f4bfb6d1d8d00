"""Judge a statement that is being saved, where there is no connection to ask."""

from __future__ import annotations

import time

from children.host import ChildError, ChildFailed, ChildGone, ChildLate
from children.pool import Pool, PoolBusy, PoolLimits
from sources.asking import SERVING, as_error, host
from sources.errors import SourceError, StatementRefused, TooManyPreviews
from sources.kinds import KINDS

CHECK_S = 3.0
LOAD_S = 10.0
"""So long a process may take to load its parser."""

checkers = Pool(host, PoolLimits(per_key=4, idle_s=60), kept_after=frozenset(("StatementRefused",)))


def check_statement(sql: str, kind: str, runs: bool = False) -> None:
    """Return when `sql` is one statement that only reads in a database of `kind`.

    One that `runs` gives rows: SHOW and EXPLAIN do not.

    Raises StatementRefused, which says why and, where a place is to blame, its line and column;
    TooManyPreviews, and SourceError where no process can be had.
    """
    if kind not in KINDS:
        raise StatementRefused(f'"{kind}" is not a kind of database known here.')
    if any("\ud800" <= character <= "\udfff" for character in sql):
        raise StatementRefused("The query is not valid Unicode: it contains half a surrogate pair.")
    question = {"sql": sql, "kind": kind, "runs": runs}
    try:
        with checkers.child("check", time.monotonic() + CHECK_S) as child:
            if not child.uses:
                # What the start of a process takes says nothing of the statement.
                trifle = question | {"sql": "SELECT 1"}
                child.ask(f"{SERVING}:check", trifle, time.monotonic() + LOAD_S)
            child.ask(f"{SERVING}:check", question, time.monotonic() + CHECK_S)
    except ChildFailed as exc:
        raise as_error(exc, None) from exc
    except PoolBusy as exc:
        raise TooManyPreviews("Too many statements are being read; try again.") from exc
    except (ChildLate, ChildGone) as exc:
        raise StatementRefused("The query is too intricate to be checked.") from exc
    except ChildError as exc:
        raise SourceError("No process could be started that reads the statement.") from exc
