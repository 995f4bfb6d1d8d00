"""Sources for the tests of extracts and runs: tables in the databases of `targets`."""

import threading
from datetime import UTC, datetime

from engine import running
from engine.messages import RunSpec
from engine.plan import CursorWindow
from engine.target import TargetParams
from sources.contract import SourceParams

from .targets import FIRST, plan_of

TEXT_FIELDS = {"id": "integer", "name": "string"}


def params_of(database, **given):
    """Return how to reach a database of the tests as a source or a target."""
    login = database.login
    return SourceParams(
        kind=database.kind,
        host=login["host"],
        port=login["port"],
        database=database.name,
        username=login["user"],
        password=login["password"],
        **given,
    )


def target_of(target):
    if target.kind == "delta":
        return TargetParams("delta", uri=target.folder)
    return TargetParams(target.kind, database=params_of(target))


def a_run_plan(query, fields=TEXT_FIELDS, cursor=None, lag_s=0.0, **given):
    window = CursorWindow(cursor, lag_s=lag_s) if cursor else None
    given = {"loaded_at": datetime.now(UTC), "cursor": window} | given
    return plan_of(fields, query=query, **given)


def ran(plan, source, target, token=FIRST, stop=None, on_note=None, lost=(), deadline=None):
    """Run a plan from a database into a target; return the report."""
    spec = RunSpec(plan, params_of(source), target_of(target), token, lost)
    notes = []
    return running.run(spec, on_note or notes.append, stop or threading.Event(), deadline)
