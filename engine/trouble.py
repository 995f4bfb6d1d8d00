"""What goes wrong with a source or a target, as the problem of a run."""

from __future__ import annotations

from engine.problems import Problem
from sources.errors import (
    AnswerTooLarge,
    QueryFailed,
    SourceError,
    SourceTimeout,
    StatementRefused,
)

# Deadlocks and conflicts, which another attempt need not meet.
_PASSING = {"40001", "40P01", "55P03", "53300"}
_REFUSALS = {"authentication_failed", "permission_denied"}
_SETTINGS = {*_REFUSALS, "unknown_database", "tls_failed"}


def source_problem(exc: SourceError, stage: str) -> Problem:
    """Return what a run says of trouble with its source."""
    hint = exc.hint
    if isinstance(exc, QueryFailed) and exc.database_code not in _PASSING:
        code, hint = "query_refused", hint or "Mend the mapping's query; a preview shows the same."
    elif isinstance(exc, StatementRefused):
        code, hint = "query_refused", hint or "Write the query as one SELECT statement."
    elif isinstance(exc, SourceTimeout):
        code, hint = "source_timeout", hint or "See why the database is slow."
    elif isinstance(exc, AnswerTooLarge):
        return out_of_memory(stage)
    elif exc.error_code in _REFUSALS:
        code = "authentication_failed"
    else:
        code = "source_unreachable"
    hint = hint or "See whether the database is up, and its log."
    return Problem(code, exc.message, hint=hint, stage=stage)


def target_problem(exc: SourceError, stage: str) -> Problem:
    """Return what a run says of a target's database that lets nobody in."""
    if isinstance(exc, SourceTimeout):
        code = "target_timeout"
    else:
        code = "target_refused" if exc.error_code in _SETTINGS else "target_unreachable"
    hint = exc.hint or "See whether the target's database is up, and its log."
    return Problem(code, f"The target: {exc.message}", hint=hint, stage=stage)


def out_of_memory(stage: str) -> Problem:
    return Problem(
        "out_of_memory",
        "The rows need more memory than a run may use.",
        hint="Select fewer or shorter columns; single rows may be too large.",
        stage=stage,
    )
