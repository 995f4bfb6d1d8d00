"""What a login is to every kind of database: how a refusal reads, and who else may answer."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from children import child
from sources import network
from sources.clock import Clock
from sources.contract import Kind, SourceParams
from sources.errors import SourceUnreachable, to_json

MAX_WORDS = 500
HIDDEN = "…"


class Refusal(NamedTuple):
    """A sentence with {address}, {user} and {database} in it, and what to do about it."""

    error_code: str
    stage: str
    sentence: str
    hint: str


AUTHENTICATION = Refusal(
    "authentication_failed",
    "login",
    "{address} refused the login of user {user}",
    "Check the user name and the password.",
)
FULL = Refusal(
    "too_many_connections",
    "login",
    "{address} has no connection left for user {user}",
    "Wait, raise the server's limit, or close connections that are not needed.",
)
UNKNOWN_DATABASE = Refusal(
    "unknown_database",
    "database",
    "{address} has no database {database}",
    "Check the database's name; capitals can count.",
)
STARTING = Refusal(
    "unknown", "login", "{address} is starting up or shutting down", "Try again in a moment."
)


def refused(params: SourceParams, refusal: Refusal, words: str) -> SourceUnreachable:
    """Return the error for a login that the server refused with `words`."""
    place = {
        "address": params.address,
        "user": f'"{params.username}"',
        "database": f'"{params.database}"',
    }
    return SourceUnreachable(
        f"{refusal.sentence.format(**place)}: {words}",
        error_code=refusal.error_code,
        hint=refusal.hint,
        stage=refusal.stage,
    )


def without_secrets(text: str, params: SourceParams) -> str:
    """Return a server's words without what was sent to it to log in, however it is spaced.

    A secret of one or two characters is only hidden where it stands alone.
    """
    for secret in params.secrets:
        parts = [re.escape(part) for part in secret.split()]
        if not parts:
            continue
        pattern = r"\s+".join(parts)
        if len(secret) <= 2:
            pattern = rf"(?<!\w){pattern}(?!\w)"
        text = re.sub(pattern, HIDDEN, text)
    return text


def in_brief(text: str, params: SourceParams) -> str:
    """Return a server's words on one line, without secrets and the full stop."""
    return without_secrets(" ".join(text.split()), params).rstrip(".")[:MAX_WORDS]


@contextmanager
def suspicious(
    peer: tuple[str, int], params: SourceParams, kind: Kind, clock: Clock
) -> Iterator[None]:
    """While the login in the block makes no sound for a second, look what else may listen there.

    A driver waits in C, where nothing can be raised: what is found is the child's answer, and its
    end.
    """
    timer = threading.Timer(network.SNIFF_AFTER_S, _look, (peer, params, kind, clock))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _look(peer: tuple[str, int], params: SourceParams, kind: Kind, clock: Clock) -> None:
    try:
        network.refuse_strangers(peer, params.address, kind.label, clock)
    except SourceUnreachable as found:
        child.answer_and_exit(child.Failure(*to_json(found)))
