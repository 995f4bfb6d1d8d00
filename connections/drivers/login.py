"""What a login is to every kind of database: the way to the server, and how a refusal reads."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from . import network
from .base import SourceParams
from .errors import SourceUnreachable
from .watch import Watch

MAX_WORDS = 500


def reach(params: SourceParams, watch: Watch, stack: ExitStack) -> socket.socket:
    """Return a connection to the address that answers, through the tunnel where there is one.

    `stack` ends the tunnel. Raises SourceUnreachable, SourceTimeout, RequestAborted.
    """
    if params.ssh is not None:
        from .ssh import relay  # only tunnels need paramiko, which is slow to import

        return network.dial_one(stack.enter_context(relay(params, watch)), params.address, watch)
    addresses = network.resolve(params.host, watch)
    return network.dial(addresses, params.port, params.address, watch)


def refused(
    params: SourceParams, sentence: str, words: str, *, error_code: str, stage: str, hint: str
) -> SourceUnreachable:
    """Return the error for a refused login: a sentence with {address}, {user} and {database} in it,
    and the server's own words.
    """
    place = {
        "address": params.address,
        "user": f'"{params.username}"',
        "database": f'"{params.database}"',
    }
    return SourceUnreachable(
        f"{sentence.format(**place)}: {words}", error_code=error_code, hint=hint, stage=stage
    )


def in_brief(text: str, params: SourceParams) -> str:
    """Return a server's words on one line, without the password and the full stop."""
    words = " ".join(text.split())
    if len(params.password) >= 4:
        words = words.replace(params.password, "…")
    return words.rstrip(".")[:MAX_WORDS]
