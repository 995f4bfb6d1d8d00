"""Judge a statement that is being saved, where there is no connection to ask."""

from __future__ import annotations

import time

from children.host import ChildFailed, ChildGone, ChildLate
from children.pool import Pool, PoolBusy, PoolLimits
from sources.asking import SERVING, as_error, host
from sources.errors import StatementRefused, TooManyPreviews
from sources.kinds import KINDS

CHECK_S = 3.0

checkers = Pool(host, PoolLimits(per_key=4, idle_s=60), kept_after=frozenset(("StatementRefused",)))


def check_statement(sql: str, kind: str, runs: bool = False) -> None:
    """Return when `sql` is one statement that only reads in a database of `kind`.

    One that `runs` gives rows: SHOW and EXPLAIN do not.

    Raises StatementRefused, which says why and, where a place is to blame, its line and column.
    """
    if kind not in KINDS:
        raise StatementRefused(f'"{kind}" is not a kind of database known here.')
    if any("\ud800" <= character <= "\udfff" for character in sql):
        raise StatementRefused("The query is not valid Unicode: it contains half a surrogate pair.")
    deadline = time.monotonic() + CHECK_S
    try:
        with checkers.child("check", deadline) as child:
            child.ask(f"{SERVING}:check", {"sql": sql, "kind": kind, "runs": runs}, deadline)
    except ChildFailed as exc:
        raise as_error(exc, None) from exc
    except PoolBusy as exc:
        raise TooManyPreviews("Too many statements are being read; try again.") from exc
    except (ChildLate, ChildGone) as exc:
        raise StatementRefused("The query is too intricate to be checked.") from exc
