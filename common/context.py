"""Who asks, by which door and from where: what logs, and whoever keeps a trail, say of a request.

The middleware sets it for a request, a command for itself:

    with use(of_command()):
        …
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal

Via = Literal["api", "admin", "command"]


@dataclass(frozen=True)
class Context:
    """All None outside of requests and commands."""

    actor: str | None = None
    """A user's name, `token:NAME`, `command:<system user>` or `open`; None until it is known."""
    via: Via | None = None
    address: str | None = None
    """The client's address: the peer's, or what `TRUSTED_PROXIES` say."""
    request_id: str | None = None


NOBODY = Context()
_current: ContextVar[Context] = ContextVar("context", default=NOBODY)


def current() -> Context:
    return _current.get()


def client_address() -> str:
    """Return the address that asks; empty where a command does."""
    return current().address or ""


@contextmanager
def use(context: Context) -> Iterator[Context]:
    """Make this the current context until the block ends."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


def identify(actor: str) -> None:
    """Say who the actor is, once a login or a token has shown it."""
    _current.set(replace(current(), actor=actor))


def of_command() -> Context:
    """Return the context of a command: its actor is the account of the system that runs it."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # Containers run accounts that have no name.
        account = "unknown"
    return Context(actor=f"command:{account}", via="command")
